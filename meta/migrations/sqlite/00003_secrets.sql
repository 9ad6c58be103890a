-- +goose Up
CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) STRICT;

-- +goose Down
DROP TABLE secrets;
