-- A second policy beside the live one: one at a time.
CREATE TABLE shadow (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since TEXT NOT NULL,
    digest TEXT NOT NULL,
    path TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE shadow_servers (
    number INTEGER PRIMARY KEY,
    fleet TEXT NOT NULL,
    launched_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;

CREATE TABLE shadow_differs (
    fleet TEXT NOT NULL,
    at TEXT NOT NULL,
    live INTEGER NOT NULL,
    shadow INTEGER NOT NULL,
    why_live TEXT NOT NULL,
    why_shadow TEXT NOT NULL,
    PRIMARY KEY (fleet, at)
) STRICT, WITHOUT ROWID;
