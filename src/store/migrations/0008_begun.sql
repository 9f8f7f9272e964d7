-- When this journal was begun.
CREATE TABLE begun (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at TEXT NOT NULL
) STRICT;
