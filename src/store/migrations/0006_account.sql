-- Where the servers of this journal are.
CREATE TABLE account (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    region TEXT NOT NULL
) STRICT;
