-- +goose Up
-- The history of every source's rules. Rows are never changed or deleted:
-- records in the queue name their version.
CREATE TABLE rules (
    version INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    source  TEXT NOT NULL,    -- a name, or a prefix and *
    text    TEXT NOT NULL,    -- empty: no rules from here on
    learned TEXT NOT NULL,    -- URL templates
    author  TEXT NOT NULL,
    created INTEGER NOT NULL, -- Unix nanoseconds
    note    TEXT NOT NULL
) STRICT;
CREATE INDEX rules_source ON rules (project, source, version);

-- +goose Down
DROP TABLE rules;
