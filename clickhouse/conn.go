package clickhouse

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// dial makes the pool of connections; none is opened yet.
func (db *DB) dial() (ch.Conn, error) {
	o := &ch.Options{
		Addr:             db.addr.hosts,
		Auth:             ch.Auth{Database: db.addr.database, Username: db.addr.user, Password: db.addr.password},
		ClientInfo:       ch.ClientInfo{Products: []struct{ Name, Version string }{{Name: "millrace"}}},
		Settings:         db.settings(),
		Compression:      &ch.Compression{Method: db.addr.compression()},
		DialTimeout:      db.opt.Connect.Std(),
		ReadTimeout:      longStatement, // every statement has a deadline of its own
		MaxOpenConns:     db.opt.Connections,
		MaxIdleConns:     db.opt.Connections,
		ConnOpenStrategy: ch.ConnOpenRoundRobin,
	}
	if db.addr.http {
		o.Protocol = ch.HTTP
		o.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) { return onlyClickHouse{t}, nil }
	}
	if db.addr.secure {
		var err error
		if o.TLS, err = db.opt.TLS.config(); err != nil {
			return nil, err
		}
	}
	conn, err := ch.Open(o)
	if err != nil {
		return nil, wrap(context.Background(), "open ClickHouse", err)
	}
	return conn, nil
}

// settings go with every statement.
func (db *DB) settings() ch.Settings {
	s := ch.Settings{
		"async_insert":       0, // an insertion that is answered is stored
		"insert_deduplicate": 0, // flushes do that
		"max_execution_time": int(max(db.opt.Timeout.Std()/time.Second, 1)),
		// A flush is one part per partition, and so visible at once.
		"min_insert_block_size_rows":  maxFlushRows,
		"min_insert_block_size_bytes": 0,
		"max_insert_block_size":       maxFlushRows,
	}
	if db.addr.http {
		s["wait_end_of_query"] = 1 // else an error may come after the answer has begun
	}
	if db.addr.cluster != "" {
		s["distributed_foreground_insert"] = 1
		s["insert_quorum"] = "auto"
		s["insert_quorum_parallel"] = 1
	}
	return s
}

// maxFlushRows is far above what a flush has.
const maxFlushRows = 16 << 20

func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, &millrace.Error{Code: millrace.ErrInvalid, Op: "open ClickHouse", Message: "tls.ca cannot be read", Err: err}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, millrace.Errorf(millrace.ErrInvalid, "tls.ca: %s has no certificate in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, &millrace.Error{Code: millrace.ErrInvalid, Op: "open ClickHouse", Message: "tls.cert and tls.key cannot be used", Err: err}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// exec runs a statement that changes something and may be run twice.
func (db *DB) exec(ctx context.Context, op, query string, settings ...ch.Settings) error {
	return db.retry(ctx, op, func() error {
		ctx, cancel := db.limited(ctx)
		defer cancel()
		return db.conn.Exec(with(ctx, settings), query)
	})
}

// query runs a statement and calls each for every row of the answer, which is
// read again from the beginning if the connection breaks before the first row.
// Values belong into the text by quote: there are no parameters.
func (db *DB) query(ctx context.Context, op, query string, each func(rows driver.Rows) error, settings ...ch.Settings) error {
	begun := false
	return db.retry(ctx, op, func() error {
		ctx, cancel := db.limited(ctx)
		defer cancel()
		rows, err := db.conn.Query(with(ctx, settings), query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // errors are those of Err
		for rows.Next() {
			begun = true
			if err := each(rows); err != nil {
				return final{err}
			}
		}
		if err := rows.Err(); err != nil {
			if begun {
				return final{err}
			}
			return err
		}
		return nil
	})
}

// scalar returns the one number that a statement answers, 0 if there is no row.
func (db *DB) scalar(ctx context.Context, op, query string) (int64, error) {
	var out int64
	err := db.query(ctx, op, query, func(rows driver.Rows) error { return rows.Scan(&out) })
	return out, err
}

// limited bounds a statement on this side: the server's limit does not see a
// connection that hangs.
func (db *DB) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, db.opt.Timeout.Std())
}

// longStatement bounds what runs in the background, such as deletions.
const longStatement = 10 * time.Minute

// execLong is exec for statements that may take longer than Options.Timeout.
func (db *DB) execLong(ctx context.Context, op, query string, settings ch.Settings) error {
	settings["max_execution_time"] = int(longStatement / time.Second)
	return db.retry(ctx, op, func() error {
		ctx, cancel := context.WithTimeout(ctx, longStatement)
		defer cancel()
		return db.conn.Exec(with(ctx, []ch.Settings{settings}), query)
	})
}

func with(ctx context.Context, settings []ch.Settings) context.Context {
	if len(settings) == 0 {
		return ctx
	}
	return ch.Context(ctx, ch.WithSettings(settings[0]))
}
