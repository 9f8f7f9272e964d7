-- Whether a termination that an operator asked for is without a drain.
ALTER TABLE overrides ADD COLUMN at_once INTEGER NOT NULL DEFAULT 0;
