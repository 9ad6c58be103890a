CREATE TABLE IF NOT EXISTS `m`.`cell_periods`
(
    rollup LowCardinality(String),
    hour Int64 CODEC(DoubleDelta, LZ4),
    arrived Int64 CODEC(Delta, LZ4),
    flush UInt64 CODEC(Delta, LZ4)
)
ENGINE = MergeTree
ORDER BY (rollup, hour);

CREATE TABLE IF NOT EXISTS `m`.`deltas_traffic`
(
    flush UInt64 CODEC(Delta, LZ4),
    settled DateTime('UTC') CODEC(Delta, LZ4),
    arrived Int64 CODEC(Delta, LZ4),
    set_id UInt32 CODEC(Delta, LZ4),
    bucket Int64 CODEC(DoubleDelta, LZ4),
    `d_service` LowCardinality(String),
    `d_host` LowCardinality(String),
    `f_least` Float64 DEFAULT nan,
    `s_load` Int64 CODEC(T64, LZ4),
    `n_load` Int64 CODEC(T64, LZ4),
    `s_pv` Int64 CODEC(T64, LZ4),
    `hk_rt` String,
    `hv_rt` String,
    `e_uv` String,
    `z_uv` String,
    `r_uv` String CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toStartOfHour(settled)
ORDER BY (set_id, bucket);

ALTER TABLE `m`.`deltas_traffic` ADD COLUMN IF NOT EXISTS `d_service` LowCardinality(String), ADD COLUMN IF NOT EXISTS `d_host` LowCardinality(String), ADD COLUMN IF NOT EXISTS `f_least` Float64 DEFAULT nan, ADD COLUMN IF NOT EXISTS `s_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `n_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `s_pv` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `hk_rt` String, ADD COLUMN IF NOT EXISTS `hv_rt` String, ADD COLUMN IF NOT EXISTS `e_uv` String, ADD COLUMN IF NOT EXISTS `z_uv` String, ADD COLUMN IF NOT EXISTS `r_uv` String CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS `m`.`minutes_traffic`
(
    flush UInt64 CODEC(Delta, LZ4),
    settled DateTime('UTC') CODEC(Delta, LZ4),
    arrived Int64 CODEC(Delta, LZ4),
    set_id UInt32 CODEC(Delta, LZ4),
    bucket Int64 CODEC(DoubleDelta, LZ4),
    `d_service` LowCardinality(String),
    `d_host` LowCardinality(String),
    `f_least` Nullable(Float64),
    `s_load` Int64 CODEC(T64, LZ4),
    `n_load` Int64 CODEC(T64, LZ4),
    `s_pv` Int64 CODEC(T64, LZ4),
    `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)),
    `e_uv` Array(UInt32),
    `z_uv` Array(UInt32),
    `r_uv` Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(settled)
ORDER BY (set_id, bucket);

ALTER TABLE `m`.`minutes_traffic` ADD COLUMN IF NOT EXISTS `d_service` LowCardinality(String), ADD COLUMN IF NOT EXISTS `d_host` LowCardinality(String), ADD COLUMN IF NOT EXISTS `f_least` Nullable(Float64), ADD COLUMN IF NOT EXISTS `s_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `n_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `s_pv` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)), ADD COLUMN IF NOT EXISTS `e_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `z_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `r_uv` Array(UInt8) CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS `m`.`hours_traffic`
(
    flush UInt64 CODEC(Delta, LZ4),
    settled DateTime('UTC') CODEC(Delta, LZ4),
    arrived Int64 CODEC(Delta, LZ4),
    set_id UInt32 CODEC(Delta, LZ4),
    bucket Int64 CODEC(DoubleDelta, LZ4),
    `d_service` LowCardinality(String),
    `d_host` LowCardinality(String),
    `f_least` Nullable(Float64),
    `s_load` Int64 CODEC(T64, LZ4),
    `n_load` Int64 CODEC(T64, LZ4),
    `s_pv` Int64 CODEC(T64, LZ4),
    `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)),
    `e_uv` Array(UInt32),
    `z_uv` Array(UInt32),
    `r_uv` Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(settled)
ORDER BY (set_id, bucket);

ALTER TABLE `m`.`hours_traffic` ADD COLUMN IF NOT EXISTS `d_service` LowCardinality(String), ADD COLUMN IF NOT EXISTS `d_host` LowCardinality(String), ADD COLUMN IF NOT EXISTS `f_least` Nullable(Float64), ADD COLUMN IF NOT EXISTS `s_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `n_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `s_pv` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)), ADD COLUMN IF NOT EXISTS `e_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `z_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `r_uv` Array(UInt8) CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS `m`.`days_traffic`
(
    flush UInt64 CODEC(Delta, LZ4),
    settled DateTime('UTC') CODEC(Delta, LZ4),
    arrived Int64 CODEC(Delta, LZ4),
    set_id UInt32 CODEC(Delta, LZ4),
    bucket Int64 CODEC(DoubleDelta, LZ4),
    `d_service` LowCardinality(String),
    `d_host` LowCardinality(String),
    `f_least` Nullable(Float64),
    `s_load` Int64 CODEC(T64, LZ4),
    `n_load` Int64 CODEC(T64, LZ4),
    `s_pv` Int64 CODEC(T64, LZ4),
    `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)),
    `e_uv` Array(UInt32),
    `z_uv` Array(UInt32),
    `r_uv` Array(UInt8) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toStartOfMonth(settled)
ORDER BY (set_id, bucket);

ALTER TABLE `m`.`days_traffic` ADD COLUMN IF NOT EXISTS `d_service` LowCardinality(String), ADD COLUMN IF NOT EXISTS `d_host` LowCardinality(String), ADD COLUMN IF NOT EXISTS `f_least` Nullable(Float64), ADD COLUMN IF NOT EXISTS `s_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `n_load` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `s_pv` Int64 CODEC(T64, LZ4), ADD COLUMN IF NOT EXISTS `h_rt` Map(UInt16, UInt64) CODEC(ZSTD(1)), ADD COLUMN IF NOT EXISTS `e_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `z_uv` Array(UInt32), ADD COLUMN IF NOT EXISTS `r_uv` Array(UInt8) CODEC(ZSTD(1));
