-- Timestamps are text, RFC 3339 in UTC with nanoseconds, so that they sort as they read.
CREATE TABLE servers (
    token TEXT PRIMARY KEY,
    fleet TEXT NOT NULL,
    instance TEXT,
    planned_at TEXT NOT NULL,
    gone_at TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX servers_by_end ON servers (gone_at);

CREATE TABLE fleets (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE readings (
    fleet TEXT NOT NULL,
    at TEXT NOT NULL,
    waiting INTEGER,
    oldest_seconds INTEGER,
    unreadable TEXT,
    PRIMARY KEY (fleet, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE overrides (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT;

CREATE TABLE problems (
    key TEXT PRIMARY KEY,
    fleet TEXT,
    since TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    fleet TEXT,
    instance TEXT,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);
