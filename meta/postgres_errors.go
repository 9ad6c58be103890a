package meta

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace"
)

// postgresError gives an error a code, and a hint that names the cure.
func postgresError(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, coded := errors.AsType[*millrace.Error](err); coded {
		return withOp(op, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err()) // the caller gave up
	}
	e := &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Message: "PostgreSQL cannot be used now", Err: err}
	switch {
	case errors.Is(err, pgconn.ErrReadOnlyConnection), isCode(err, readOnlyTransaction):
		e.Message = "this PostgreSQL is a read-only standby"
		e.Hint = "name all servers, so that the one that takes writes is found: postgres://user@a:5432,b:5432/database; or promote it"
	case isCode(err, badPassword, badAuthorization):
		e.Message = "PostgreSQL does not let this user in"
		e.Hint = "check user and password in the address, with % for special characters, and the server's pg_hba.conf"
	case isCode(err, noDatabase), isCode(err, databaseDropped):
		e.Message = "there is no such database on this server"
		e.Hint = "create it: CREATE DATABASE millrace ENCODING 'UTF8' TEMPLATE template0"
	case isCode(err, tooManyConnections):
		e.Message = "PostgreSQL has no connection left"
		e.Hint = fmt.Sprintf("raise its max_connections: each node takes up to %d; or lower pool_max_conns in the address", poolSize+1)
	case isCode(err, diskFull):
		e.Message = "the disk of PostgreSQL is full"
		e.Hint = "free space there; work goes on by itself then"
	case isCode(err, noPrivilege):
		e.Message = "the user lacks a right in PostgreSQL"
		e.Hint = "let the user own the database: ALTER DATABASE millrace OWNER TO the user"
	case isCode(err, noTable):
		e.Message = "PostgreSQL lacks a table of millrace's"
		e.Hint = "was the database made anew under running nodes? Restart them: they create what is missing"
	case isCode(err, cannotConnectNow, adminShutdown, crashShutdown):
		e.Message = "PostgreSQL is starting or stopping"
		e.Hint = "wait, or look at its log"
	case isCode(err, badCharacter):
		e.Code, e.Message = millrace.ErrInvalid, "the text has a character that PostgreSQL cannot keep, such as NUL"
	case isTLS(err):
		e.Message = "the TLS connection to PostgreSQL is not trusted, or not offered"
		e.Hint = "name the certificate of its authority with sslrootcert=FILE in the address, its host as in its certificate, and sslmode=verify-full, or disable without TLS"
	case errors.Is(err, context.DeadlineExceeded):
		e.Message = "PostgreSQL does not answer"
		e.Hint = fmt.Sprintf("each call has %s: is it overloaded, or the way to it cut?", tryTimeout)
	case isAuthentication(err):
		e.Message = "PostgreSQL asks for a way to authenticate that millrace does not know"
		e.Hint = "give the user scram-sha-256 in the server's pg_hba.conf; is it PostgreSQL that answers?"
	case isUnreachable(err):
		e.Message = "PostgreSQL cannot be reached"
		e.Hint = "check host and port in the address, that the server runs, and what is between"
	case !isPgError(err):
		e.Message = "the connection to PostgreSQL was lost"
		e.Hint = "another is made by itself; if this stays, look at the server's log and at what is between"
	}
	return e
}

// openPostgresError says where it happened, and gives ErrInvalid to what no
// retry mends.
func openPostgresError(c *pgx.ConnConfig, err error) error {
	where := fmt.Sprintf("database %q as %q on %s:%d", c.Database, c.User, c.Host, c.Port)
	inner, ok := errors.AsType[*millrace.Error](postgresError(context.Background(), "", err))
	if !ok {
		return fmt.Errorf("open meta: %s: %w", where, err)
	}
	e := &millrace.Error{Code: inner.Code, Op: "open meta", Message: where, Hint: inner.Hint, Err: inner}
	switch {
	case isCode(err, badPassword, badAuthorization, noDatabase, noPrivilege), isTLS(err):
		e.Code = millrace.ErrInvalid
	case e.Code == millrace.ErrConflict:
		e.Hint = "run the newer version on this node too"
	}
	return e
}

func isPgError(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok
}

// isTLS reports whether TLS failed for a reason that stays. A server that said
// something else after a second try without TLS means that.
func isTLS(err error) bool {
	if isPgError(err) || errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	return strings.Contains(err.Error(), "server refused TLS connection")
}

// isAuthentication reports whether the server asked for something that pgx cannot
// give: pgx has no error for it.
func isAuthentication(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unknown authentication type") || !isPgError(err) && strings.Contains(text, "failed SASL auth")
}

func isUnreachable(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}
