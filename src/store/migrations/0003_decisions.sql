-- Decisions in numbers, and the policies they were made by: what a replay needs.
CREATE TABLE decisions (
    fleet TEXT NOT NULL,
    at TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    desired INTEGER NOT NULL,
    target INTEGER NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (fleet, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    since TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Jobs by server, JSON without the idle ones; kept for some weeks only, since it is long.
ALTER TABLE readings ADD COLUMN busy TEXT;
