-- +goose Up
-- What millrace.Commits keeps for a Store whose rows and positions cannot
-- commit together. Times are Unix nanoseconds.
CREATE SEQUENCE flush_ids;

CREATE TABLE flushes (
    id         bigint PRIMARY KEY,
    sink       text NOT NULL,
    partitions int[] NOT NULL,               -- ascending
    node       text NOT NULL,
    token      bigint NOT NULL,              -- of the call that began it
    begun      bigint NOT NULL,
    state      smallint NOT NULL DEFAULT 0,  -- 0 open, 1 committed, 2 abandoned, 3 hidden
    ended      bigint NOT NULL DEFAULT 0     -- of the last change of state
);
CREATE INDEX flushes_open ON flushes (id) WHERE state = 0;
CREATE INDEX flushes_abandoned ON flushes (id) WHERE state = 2;
CREATE INDEX flushes_begun ON flushes (begun);

-- A row exists from the moment that somebody means to move it, so that there is
-- something to lock; it counts once it is stored.
CREATE TABLE positions (
    sink          text COLLATE "C" NOT NULL,
    partition     int NOT NULL,
    stored        boolean NOT NULL DEFAULT false,
    generation    bigint NOT NULL DEFAULT 0,
    topic_id      text NOT NULL DEFAULT '',
    record_offset bigint NOT NULL DEFAULT 0,
    ordinal       int NOT NULL DEFAULT 0,
    max_time      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (sink, partition)
) WITH (fillfactor = 50);

CREATE TABLE clients (
    sink    text COLLATE "C" NOT NULL,
    client  text COLLATE "C" NOT NULL,
    updated bigint NOT NULL,
    state   bytea NOT NULL,
    PRIMARY KEY (sink, client)
) WITH (fillfactor = 70);

-- Values are any bytes, and longer than an index takes.
CREATE TABLE admitted (
    rollup    text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    value     bytea NOT NULL,
    digest    bytea NOT NULL GENERATED ALWAYS AS (sha256(value)) STORED,
    PRIMARY KEY (rollup, dimension, digest)
);

CREATE TABLE gaps (
    sink        text COLLATE "C" NOT NULL,
    partition   int NOT NULL,
    generation  bigint NOT NULL,
    from_offset bigint NOT NULL,
    to_offset   bigint NOT NULL,  -- -1: unknown
    found       bigint NOT NULL,
    reason      text NOT NULL
);

CREATE TABLE set_aside (
    sink          text NOT NULL,
    partition     int NOT NULL,
    generation    bigint NOT NULL,
    record_offset bigint NOT NULL,
    ordinal       int NOT NULL,
    time          bigint NOT NULL,
    project       text NOT NULL,
    source        text NOT NULL,
    stage         text NOT NULL,
    reason        text NOT NULL,
    payload       bytea NOT NULL
);
CREATE INDEX set_aside_time ON set_aside (time);

-- As with positions there is a row to lock before there is a state: version 0.
CREATE TABLE states (
    name    text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    value   bytea NOT NULL DEFAULT ''
);

-- +goose StatementBegin
CREATE FUNCTION now_ns() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000';
-- +goose StatementEnd

-- flush_begin opens a flush. The lock, which Cut takes for itself alone, makes
-- that a flush is in sight of a cut, or has a number above it and begins later.
-- A call that comes twice, since its answer was lost, gets the same flush.
-- +goose StatementBegin
CREATE FUNCTION flush_begin(a_sink text, a_partitions int[], a_node text, a_token bigint, a_lock bigint, OUT o_id bigint, OUT o_begun bigint)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(a_lock);
    SELECT id, begun INTO o_id, o_begun FROM flushes WHERE state = 0 AND token = a_token;
    IF FOUND THEN
        RETURN;
    END IF;
    o_id := nextval('flush_ids');
    o_begun := greatest(now_ns(), (SELECT max(begun) FROM flushes));
    INSERT INTO flushes (id, sink, partitions, node, token, begun) VALUES (o_id, a_sink, a_partitions, a_node, a_token, o_begun);
END $$;
-- +goose StatementEnd

-- flush_take locks an open flush until the end of the transaction. With a sink
-- it must be of that sink, and begun for the partitions.
-- MR001: not known; MR002: has ended, with its state; MR003: of another sink or
-- other partitions, with those.
-- +goose StatementBegin
CREATE FUNCTION flush_take(a_flush bigint, a_sink text, a_partitions int[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    f flushes%ROWTYPE;
BEGIN
    SELECT * INTO f FROM flushes WHERE id = a_flush FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'flush % is not known', a_flush USING ERRCODE = 'MR001';
    END IF;
    IF f.state <> 0 THEN
        RAISE EXCEPTION 'flush % has ended', a_flush USING ERRCODE = 'MR002', DETAIL = f.state::text;
    END IF;
    IF a_sink IS NOT NULL AND (f.sink <> a_sink OR NOT a_partitions <@ f.partitions) THEN
        RAISE EXCEPTION 'flush % is not for that', a_flush USING ERRCODE = 'MR003',
            DETAIL = json_build_object('sink', f.sink, 'partitions', f.partitions);
    END IF;
END $$;
-- +goose StatementEnd

-- positions_take locks positions until the end of the transaction and compares
-- them with what they are expected to be.
-- MR004: one is another, with those that are stored.
-- +goose StatementBegin
CREATE FUNCTION positions_take(a_sink text, a_partitions int[], a_generations bigint[], a_topics text[], a_offsets bigint[], a_ordinals int[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    PERFORM 1 FROM positions WHERE sink = a_sink AND partition = ANY (a_partitions) ORDER BY partition FOR UPDATE;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n < cardinality(a_partitions) THEN
        INSERT INTO positions (sink, partition) SELECT a_sink, p FROM unnest(a_partitions) p ORDER BY p ON CONFLICT DO NOTHING;
        PERFORM 1 FROM positions WHERE sink = a_sink AND partition = ANY (a_partitions) ORDER BY partition FOR UPDATE;
    END IF;
    IF EXISTS (
        SELECT 1 FROM unnest(a_partitions, a_generations, a_topics, a_offsets, a_ordinals) AS w (p, g, t, o, r)
        JOIN positions s ON s.sink = a_sink AND s.partition = w.p
        WHERE (s.generation, s.topic_id, s.record_offset, s.ordinal) <> (w.g, w.t, w.o, w.r)
    ) THEN
        RAISE EXCEPTION 'positions are others' USING ERRCODE = 'MR004', DETAIL = (
            SELECT coalesce(json_agg(json_build_object('Partition', partition, 'Generation', generation, 'TopicID', topic_id,
                'Offset', record_offset, 'Ordinal', ordinal)), '[]')
            FROM positions WHERE sink = a_sink AND stored AND partition = ANY (a_partitions));
    END IF;
END $$;
-- +goose StatementEnd

-- states_take locks states until the end of the transaction, alone if they are
-- to change, and compares their versions.
-- MR005: one is another, with its name and version.
-- +goose StatementBegin
CREATE FUNCTION states_take(a_names text[], a_versions bigint[], a_change boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name_ text;
    version_ bigint;
BEGIN
    INSERT INTO states (name) SELECT n FROM unnest(a_names) n ORDER BY n ON CONFLICT DO NOTHING;
    IF a_change THEN
        PERFORM 1 FROM states WHERE name = ANY (a_names) ORDER BY name FOR UPDATE;
    ELSE
        PERFORM 1 FROM states WHERE name = ANY (a_names) ORDER BY name FOR SHARE;
    END IF;
    SELECT s.name, s.version INTO name_, version_ FROM unnest(a_names, a_versions) AS w (n, v) JOIN states s ON s.name = w.n
        WHERE s.version <> w.v LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'state % has another version', name_ USING ERRCODE = 'MR005',
            DETAIL = json_build_object('Name', name_, 'Version', version_);
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION states_take;
DROP FUNCTION positions_take;
DROP FUNCTION flush_take;
DROP FUNCTION flush_begin;
DROP FUNCTION now_ns;
DROP TABLE states;
DROP TABLE set_aside;
DROP TABLE gaps;
DROP TABLE admitted;
DROP TABLE clients;
DROP TABLE positions;
DROP TABLE flushes;
DROP SEQUENCE flush_ids;
