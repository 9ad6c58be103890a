CREATE TABLE IF NOT EXISTS `logs`.`schema_versions`
(
    version UInt32,
    name String,
    applied DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied)
ORDER BY version
SETTINGS auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS `logs`.`hidden_flushes`
(
    flush UInt64,
    hidden DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY flush
SETTINGS auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS `logs`.`events_rows`
(
    flush UInt64 CODEC(Delta, ZSTD(1)),
    partition Int32 CODEC(ZSTD(1)),
    offset Int64 CODEC(Delta, ZSTD(1)),
    ordinal Int32 CODEC(Delta, ZSTD(1)),
    arrived DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    slot Int32 CODEC(Delta, ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    service LowCardinality(String),
    host LowCardinality(String),
    env LowCardinality(String),
    release LowCardinality(String),
    level LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    message String CODEC(ZSTD(1)),
    weight Int64 CODEC(T64, ZSTD(1)),
    method LowCardinality(String),
    url String CODEC(ZSTD(1)),
    status Int32 CODEC(T64, ZSTD(1)),
    bytes Int64 CODEC(T64, ZSTD(1)),
    rt Int64 CODEC(ZSTD(1)),
    rt_backend Int64 CODEC(ZSTD(1)),
    client_ip UInt32 CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    odd UInt16 CODEC(ZSTD(1)),
    attrs String CODEC(ZSTD(1)),
    INDEX time_range time TYPE minmax GRANULARITY 1,
    INDEX flush_range flush TYPE minmax GRANULARITY 1,
    INDEX odd_range odd TYPE minmax GRANULARITY 1,
    INDEX trace_ids trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX message_grams lower(message) TYPE ngrambf_v1(4, 32768, 2, 0) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(arrived)
ORDER BY (project, slot, service, time)
SETTINGS index_granularity = 8192, min_bytes_for_wide_part = 268435456, ttl_only_drop_parts = 1, auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS `logs`.`ledger_rows`
(
    flush UInt64,
    n UInt32,
    sink LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    minute Int64,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    events Int64,
    weight Int64,
    example String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (flush, n)
SETTINGS auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS `logs`.`ledger_merged`
(
    flush UInt64,
    first Tuple(UInt64, UInt32),
    sink LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    minute Int64,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    events Int64,
    weight Int64,
    example String CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(minute, 'UTC'))
ORDER BY (minute, project, source, sink, outcome, reason)
SETTINGS auto_statistics_types = '';

ALTER TABLE `logs`.`events_rows` ADD COLUMN IF NOT EXISTS fingerprint LowCardinality(String) MATERIALIZED if(position(attrs, '"fingerprint":') > 0, JSONExtract(attrs, 'fingerprint', 'String'), ''), ADD INDEX IF NOT EXISTS fingerprints fingerprint TYPE bloom_filter(0.01) GRANULARITY 1;
