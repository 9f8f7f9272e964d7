-- What a queue may tell besides its length.
ALTER TABLE readings ADD COLUMN running INTEGER;
ALTER TABLE readings ADD COLUMN arrived INTEGER;
ALTER TABLE readings ADD COLUMN completed INTEGER;
