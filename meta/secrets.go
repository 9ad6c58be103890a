package meta

import "context"

// Secret implements millrace.Meta. Of several who ask at once with something
// fresh, one wins.
func (s *SQLite) Secret(ctx context.Context, name string, fresh []byte) ([]byte, error) {
	const op = "read secret"
	if _, err := s.write.ExecContext(ctx, "INSERT INTO secrets VALUES (?, ?) ON CONFLICT DO NOTHING", name, fresh); err != nil {
		return nil, wrap(op, err)
	}
	var secret []byte
	err := s.write.QueryRowContext(ctx, "SELECT secret FROM secrets WHERE name = ?", name).Scan(&secret)
	return secret, wrap(op, err)
}
