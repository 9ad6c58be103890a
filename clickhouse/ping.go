package clickhouse

import "context"

// Ping asks the server for nothing, to see whether it answers.
func (db *DB) Ping(ctx context.Context) error {
	_, err := db.scalar(ctx, "ping", "SELECT toInt64(1)")
	return err
}
