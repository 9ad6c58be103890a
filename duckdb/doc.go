// Package duckdb keeps rows, cells, accounts and positions in one DuckDB file:
// millrace.Store for one machine. It is the only importer of DuckDB.
//
// Invariants:
//
//   - One connection writes. A flush is one transaction: rows, positions, client
//     windows, accounts, gaps. After any error its appenders are cleared before
//     ROLLBACK (rows not flushed would survive it), the connection is replaced,
//     and the instance too if DuckDB has given it up; success is never reported
//     after a flush that failed, whatever COMMIT says.
//   - Readers have connections of their own and never wait for the writer, nor
//     it for them, except while a lost instance is replaced.
//   - Events lie in one table per day of arrival, events_YYYYMMDD. The table
//     segments names them with the least and greatest event time; the view
//     events is their union. Table, catalog and view change together.
//   - The configuration is locked before the first statement of a user runs:
//     no other file, no extension, no setting.
//
// Files: db.go (opening, the write transaction, recovery), instance.go
// (handles and settings), conn.go and rows.go (statements and answers),
// colwriter.go (data chunks), schema.go and views.go (tables), events.go,
// commit.go (writing), read.go, filter.go, accounts.go, stats.go (reading),
// sandbox*.go and sql_*.go (users' SQL), maintain*.go (upkeep); rollup_*.go,
// cells_*.go and udf.go are the rollups' part.
package duckdb
