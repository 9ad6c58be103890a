-- +goose Up
CREATE TABLE keys (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    project TEXT NOT NULL,
    scopes  TEXT NOT NULL,              -- joined by commas
    hash    TEXT NOT NULL UNIQUE,       -- hex SHA-256 of the secret
    created INTEGER NOT NULL,           -- Unix nanoseconds
    revoked INTEGER NOT NULL DEFAULT 0  -- Unix nanoseconds, 0 while valid
) STRICT;

-- +goose Down
DROP TABLE keys;
