-- +goose Up
ALTER TABLE keys ADD COLUMN expires     INTEGER NOT NULL DEFAULT 0; -- Unix nanoseconds, 0 is never
ALTER TABLE keys ADD COLUMN event_rate  INTEGER NOT NULL DEFAULT 0; -- per second; 0 is no limit, here and below
ALTER TABLE keys ADD COLUMN byte_rate   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN event_burst INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN byte_burst  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN day_events  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN day_bytes   INTEGER NOT NULL DEFAULT 0;

CREATE TABLE key_usage (
    day      INTEGER NOT NULL, -- since 1970-01-01
    key      TEXT NOT NULL,    -- the id; empty: unknown
    reason   TEXT NOT NULL,    -- empty: taken
    writer   INTEGER NOT NULL, -- the process that counted
    seq      INTEGER NOT NULL, -- of the writer's last change
    requests INTEGER NOT NULL,
    events   INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (day, key, reason, writer)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE key_usage;
ALTER TABLE keys DROP COLUMN day_bytes;
ALTER TABLE keys DROP COLUMN day_events;
ALTER TABLE keys DROP COLUMN byte_burst;
ALTER TABLE keys DROP COLUMN event_burst;
ALTER TABLE keys DROP COLUMN byte_rate;
ALTER TABLE keys DROP COLUMN event_rate;
ALTER TABLE keys DROP COLUMN expires;
