package meta

import "context"

// Secret implements millrace.Meta. Of several who ask at once with something
// fresh, one wins.
func (r *records) Secret(ctx context.Context, name string, fresh []byte) (secret []byte, err error) {
	err = r.repeat(ctx, "read secret", func(ctx context.Context) error {
		if _, err := r.write.ExecContext(ctx, "INSERT INTO secrets VALUES ($1, $2) ON CONFLICT DO NOTHING", name, fresh); err != nil {
			return err
		}
		return r.write.QueryRowContext(ctx, "SELECT secret FROM secrets WHERE name = $1", name).Scan(&secret)
	})
	return secret, err
}
