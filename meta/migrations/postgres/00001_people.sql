-- +goose Up
-- What people change. Times are Unix nanoseconds, 0 for none.
CREATE TABLE keys (
    id      text PRIMARY KEY,
    name    text NOT NULL,
    project text NOT NULL,
    scopes  text NOT NULL,             -- joined by commas
    hash    text NOT NULL UNIQUE,      -- hex SHA-256 of the secret
    created bigint NOT NULL,
    revoked bigint NOT NULL DEFAULT 0  -- 0 while valid
);

-- The history of every source's rules. Rows are never changed or deleted:
-- records in the queue name their version.
CREATE TABLE rules (
    version bigint PRIMARY KEY,
    project text COLLATE "C" NOT NULL,
    source  text COLLATE "C" NOT NULL,  -- a name, or a prefix and *
    text    text NOT NULL,              -- empty: no rules from here on
    learned text NOT NULL,              -- URL templates
    author  text NOT NULL,
    created bigint NOT NULL,
    note    text NOT NULL
);
CREATE INDEX rules_source ON rules (project, source, version);

CREATE TABLE secrets (
    name   text PRIMARY KEY,
    secret bytea NOT NULL
);

-- +goose Down
DROP TABLE secrets;
DROP TABLE rules;
DROP TABLE keys;
