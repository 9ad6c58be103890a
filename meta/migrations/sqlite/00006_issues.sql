-- +goose Up
-- What millrace.Issues keeps. Times are Unix nanoseconds of events, where
-- nothing else is said. Rows that change every second are narrow: SQLite writes a
-- row anew, with all that it has.
CREATE TABLE issues (
    project       TEXT NOT NULL,
    id            TEXT NOT NULL,
    state         TEXT NOT NULL DEFAULT 'open',
    resolution    TEXT NOT NULL DEFAULT '',  -- JSON, as millrace.Resolution; empty: none
    ignored       TEXT NOT NULL DEFAULT '',  -- JSON, as millrace.Ignore; empty: not
    regressed     INTEGER NOT NULL DEFAULT 0,
    owner         TEXT NOT NULL DEFAULT '',
    fingerprints  INTEGER NOT NULL DEFAULT 0,  -- how many; while 0, what follows is of before
    first_seen    INTEGER NOT NULL DEFAULT 0,
    first_release TEXT NOT NULL DEFAULT '',
    last_seen     INTEGER NOT NULL DEFAULT 0,
    last_release  TEXT NOT NULL DEFAULT '',
    type          TEXT NOT NULL DEFAULT '',    -- of the fingerprint seen first, here and below
    title         TEXT NOT NULL DEFAULT '',
    culprit       TEXT NOT NULL DEFAULT '',
    level         TEXT NOT NULL DEFAULT '',
    service       TEXT NOT NULL DEFAULT '',
    language      TEXT NOT NULL DEFAULT '',
    search        TEXT NOT NULL DEFAULT '',    -- id, type, title and culprit in small letters
    merged_into   TEXT NOT NULL DEFAULT '',
    created       INTEGER NOT NULL,            -- by the clock of who stored it
    version       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (project, id)
) STRICT;

CREATE TABLE issue_fingerprints (
    project       TEXT NOT NULL,
    fingerprint   TEXT NOT NULL,
    issue         TEXT NOT NULL,  -- the key's
    key           TEXT NOT NULL,
    first_seen    INTEGER NOT NULL,
    first_release TEXT NOT NULL,
    type          TEXT NOT NULL,  -- of the first event, here and below
    title         TEXT NOT NULL,
    culprit       TEXT NOT NULL,
    level         TEXT NOT NULL,
    service       TEXT NOT NULL,
    language      TEXT NOT NULL,
    PRIMARY KEY (project, fingerprint)
) STRICT;
CREATE INDEX issue_fingerprints_issue ON issue_fingerprints (project, issue);
CREATE INDEX issue_fingerprints_key ON issue_fingerprints (project, key);

CREATE TABLE issue_reports (
    project     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    report      BLOB NOT NULL,  -- as exception.AppendReport wrote it
    PRIMARY KEY (project, fingerprint)
) STRICT;

-- Where fingerprints to come belong.
CREATE TABLE issue_keys (
    project TEXT NOT NULL,
    key     TEXT NOT NULL,
    issue   TEXT NOT NULL,
    PRIMARY KEY (project, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE issue_sights (
    project       TEXT NOT NULL,
    fingerprint   TEXT NOT NULL,
    env           TEXT NOT NULL,
    first_seen    INTEGER NOT NULL,
    first_release TEXT NOT NULL,
    last_seen     INTEGER NOT NULL,
    last_release  TEXT NOT NULL,
    PRIMARY KEY (project, fingerprint, env)
) STRICT, WITHOUT ROWID;

CREATE TABLE issue_releases (
    project    TEXT NOT NULL,
    release    TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (project, release)
) STRICT, WITHOUT ROWID;

CREATE TABLE issue_activities (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project    TEXT NOT NULL,
    issue      TEXT NOT NULL,
    at         INTEGER NOT NULL,  -- by the clock of who stored it
    author     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    data       BLOB NOT NULL,     -- JSON
    text       TEXT NOT NULL,
    regrouping INTEGER NOT NULL   -- 0: none
) STRICT;
CREATE INDEX issue_activities_issue ON issue_activities (project, issue, id);
CREATE INDEX issue_activities_project ON issue_activities (project, id);

CREATE TABLE issue_regroupings (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    project   TEXT NOT NULL,
    at        INTEGER NOT NULL,  -- by the clock of who stored it
    author    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    note      TEXT NOT NULL,
    moves     BLOB NOT NULL,     -- JSON, of millrace.Move
    settings  BLOB NOT NULL,     -- JSON: before and after; empty: they stayed
    undoes    INTEGER NOT NULL,  -- 0: none
    undone_by INTEGER NOT NULL   -- 0: none
) STRICT;
CREATE INDEX issue_regroupings_project ON issue_regroupings (project, id);

-- Which issues a change touched.
CREATE TABLE issue_regrouped (
    project    TEXT NOT NULL,
    issue      TEXT NOT NULL,
    regrouping INTEGER NOT NULL,
    PRIMARY KEY (project, issue, regrouping)
) STRICT, WITHOUT ROWID;

CREATE TABLE issue_settings (
    project        TEXT PRIMARY KEY,
    version        INTEGER NOT NULL,
    grouping_rules BLOB NOT NULL,    -- JSON
    owners         BLOB NOT NULL,    -- JSON
    author         TEXT NOT NULL,
    at             INTEGER NOT NULL  -- by the clock of who stored it
) STRICT;

-- +goose Down
DROP TABLE issue_settings;
DROP TABLE issue_regrouped;
DROP TABLE issue_regroupings;
DROP TABLE issue_activities;
DROP TABLE issue_releases;
DROP TABLE issue_sights;
DROP TABLE issue_keys;
DROP TABLE issue_reports;
DROP TABLE issue_fingerprints;
DROP TABLE issues;
