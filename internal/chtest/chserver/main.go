//go:build linux && amd64

// Command chserver is a real ClickHouse engine for tests: it loads ClickHouse
// as a library (libchdb.so) and speaks the server's HTTP interface over it, on
// one data directory, which outlives it.
//
//	chserver -fetch
//	chserver -dir DIR [-listen 127.0.0.1:0] [-user U -password P] [-max-body N] [-config FILE]
//
// It prints "listening on ADDRESS" when it can be asked. SIGTERM lets requests
// end, then stops the engine; SIGKILL is what the tests of crashes do.
//
// Not what a server does: users other than the one, quotas, roles, replicated
// and distributed tables, TCP. A query_id cannot be given to the engine; it is
// set as log_comment instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/chtest/chlib"
)

// drain is how long requests may go on after SIGTERM.
const drain = 20 * time.Second

type options struct {
	fetch          bool
	dir, listen    string
	user, password string
	config         string
	maxBody        int64
	withStdin      bool
	temporary      bool
}

func main() {
	var o options
	flag.BoolVar(&o.fetch, "fetch", false, "download the library, print its path and exit")
	flag.StringVar(&o.dir, "dir", "", "data directory")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the HTTP interface")
	flag.StringVar(&o.user, "user", "default", "name of the only user")
	flag.StringVar(&o.password, "password", "", "the user's password")
	flag.StringVar(&o.config, "config", "", "ClickHouse configuration, such as storage policies")
	flag.Int64Var(&o.maxBody, "max-body", 0, "largest request in bytes; 0 for no limit")
	flag.BoolVar(&o.withStdin, "exit-with-stdin", false, "exit at once when standard input ends: the parent is gone")
	flag.BoolVar(&o.temporary, "temporary", false, "then delete the data directory, too")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "chserver:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	lib, err := chlib.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if o.fetch {
		fmt.Println(lib)
		return nil
	}
	if o.dir == "" {
		return errors.New("-dir is missing")
	}
	if o.withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			if o.temporary {
				_ = os.RemoveAll(o.dir) // nobody is there to be told
			}
			os.Exit(3)
		}()
	}
	// The port first: it may be wanted again after a restart, and a busy one
	// should not cost the start of an engine.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // closed already after an orderly end
	var args []string
	if o.config != "" {
		args = append(args, "--config-file="+o.config)
	}
	eng, err := openEngine(lib, o.dir, args...)
	if err != nil {
		return err
	}
	srv, err := newServer(eng, o)
	if err != nil {
		return err
	}
	return srv.serve(ctx, listener)
}

// serve answers requests until ctx ends, then lets those under way end and
// stops the engine.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- h.Serve(listener) }()
	fmt.Printf("listening on %s\n", listener.Addr())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := h.Shutdown(stopping); err != nil {
		return fmt.Errorf("requests did not end in %v: %w", drain, err)
	}
	s.sessions.close()
	s.engine.close()
	return nil
}
