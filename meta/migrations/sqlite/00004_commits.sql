-- +goose Up
-- What millrace.Commits keeps for a Store whose rows and positions cannot
-- commit together. Times are Unix nanoseconds.
CREATE TABLE flush_counter (
    id    INTEGER NOT NULL,  -- of the newest flush
    begun INTEGER NOT NULL   -- when that was
) STRICT;
INSERT INTO flush_counter VALUES (0, 0);

CREATE TABLE flushes (
    id         INTEGER PRIMARY KEY,
    sink       TEXT NOT NULL,
    partitions TEXT NOT NULL,               -- a JSON array, ascending
    node       TEXT NOT NULL,
    begun      INTEGER NOT NULL,
    state      INTEGER NOT NULL DEFAULT 0,  -- 0 open, 1 committed, 2 abandoned, 3 hidden
    ended      INTEGER NOT NULL DEFAULT 0   -- of the last change of state
) STRICT;
CREATE INDEX flushes_open ON flushes (sink) WHERE state = 0;
CREATE INDEX flushes_abandoned ON flushes (id) WHERE state = 2;

CREATE TABLE positions (
    sink          TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    topic_id      TEXT NOT NULL,
    record_offset INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    max_time      INTEGER NOT NULL,
    PRIMARY KEY (sink, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE clients (
    sink    TEXT NOT NULL,
    client  TEXT NOT NULL,
    updated INTEGER NOT NULL,
    state   BLOB NOT NULL,
    PRIMARY KEY (sink, client)
) STRICT;

CREATE TABLE admitted (
    rollup    TEXT NOT NULL,
    dimension TEXT NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (rollup, dimension, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    sink        TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,  -- -1: unknown
    found       INTEGER NOT NULL,
    reason      TEXT NOT NULL
) STRICT;

CREATE TABLE set_aside (
    sink          TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    time          INTEGER NOT NULL,
    project       TEXT NOT NULL,
    source        TEXT NOT NULL,
    stage         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    payload       BLOB NOT NULL
) STRICT;
CREATE INDEX set_aside_time ON set_aside (time);

CREATE TABLE states (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value   BLOB NOT NULL
) STRICT;

-- +goose Down
DROP TABLE states;
DROP TABLE set_aside;
DROP TABLE gaps;
DROP TABLE admitted;
DROP TABLE clients;
DROP TABLE positions;
DROP TABLE flushes;
DROP TABLE flush_counter;
