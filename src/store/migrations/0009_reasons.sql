-- Why it was decided so, as JSON; NULL in rows of version 0.1.0.
ALTER TABLE decisions ADD COLUMN reasons TEXT;
