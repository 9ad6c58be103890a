// Command millrace turns a stream of logs and crashes into exact numbers and
// explained errors: one binary that is server, importer and command line client.
//
// Exit codes: 0 success; 1 the operation failed; 2 wrong usage or bad
// configuration; 3 done, but some input was rejected; 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/millrace/millrace"
)

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitRejected    = 3
	exitInterrupted = 130
)

func main() { os.Exit(run(time.Now)) }

// run is the program with its clock; it returns the exit code.
func run(now func() time.Time) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m := &Main{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, StdoutTTY: isTTY(os.Stdout), Now: now}
	err := m.ParseFlags(os.Args[1:])
	if err == nil {
		err = m.Run(ctx)
		err = errors.Join(err, m.Close())
	}
	return m.report(err)
}

func isTTY(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Main is the program as a value, so that tests can boot the real one.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	StdoutTTY      bool
	Now            func() time.Time
	// Ready is called by serve with its base URL once it accepts requests.
	Ready func(url string)

	cli     cli
	command *kong.Context
	server  *server
}

// cli is the command line.
type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the server: ingest, queue, pipeline, store, pages and API."`
	Import   importCmd   `cmd:"" help:"Import log files; resumable."`
	Demo     demoCmd     `cmd:"" help:"Feed a running server a live, generated stream of logs."`
	SQL      sqlCmd      `cmd:"" name:"sql" help:"Run read-only SQL."`
	Rollup   rollupCmd   `cmd:"" help:"Query a rollup."`
	Search   searchCmd   `cmd:"" help:"Search raw logs."`
	Issues   issuesCmd   `cmd:"" help:"Show the issues that exceptions make, and say what became of them."`
	Ledger   ledgerCmd   `cmd:"" help:"Show what became of every event."`
	Backfill backfillCmd `cmd:"" help:"Make a rollup complete for the past, from the raw rows."`
	Rules    rulesCmd    `cmd:"" help:"Show, change and try the rules of sources."`
	Cluster  clusterCmd  `cmd:"" help:"Show the nodes that work together, and change what they do."`
	Keys     keysCmd     `cmd:"" help:"Create, list and revoke keys."`
	Config   configCmd   `cmd:"" help:"Check a configuration, or print the reference."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// env is what a command works with.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	stdoutTTY      bool
	now            func() time.Time
	main           *Main
}

// exited is how help ends parsing.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// ParseFlags reads the command line, without the program's name.
func (m *Main) ParseFlags(args []string) (err error) {
	defer func() {
		if code, ok := recover().(exited); ok {
			err = code
		}
	}()
	parser, err := kong.New(&m.cli,
		kong.Name("millrace"),
		kong.Description("Exact numbers and explained errors from a stream of logs and crashes."),
		kong.UsageOnError(),
		kong.Writers(m.Stdout, m.Stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
	)
	if err != nil {
		return fmt.Errorf("BUG: command line: %w", err)
	}
	m.command, err = parser.Parse(relative(args))
	if err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: err.Error(), Hint: "millrace --help lists commands and flags"}
	}
	return nil
}

// relativeFlags take times relative to now, or to a range.
var relativeFlags = []string{"--from", "--to", "--compare"}

// relative joins times such as -1h to the flag before them, which the parser
// would take for flags.
func relative(args []string) []string {
	var out []string
	for _, a := range args {
		if n := len(out); n > 0 && slices.Contains(relativeFlags, out[n-1]) && len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			out[n-1] += "=" + a
			continue
		}
		out = append(out, a)
	}
	return out
}

// Run runs the command until it is done or ctx ends.
func (m *Main) Run(ctx context.Context) error {
	return m.command.Run(&env{
		ctx: ctx, stdin: m.Stdin, stdout: m.Stdout, stderr: m.Stderr, stdoutTTY: m.StdoutTTY, now: m.Now, main: m,
	})
}

// Close stops a server that Run started. It may be called more than once.
func (m *Main) Close() error {
	if m.server == nil {
		return nil
	}
	s := m.server
	m.server = nil
	return s.close()
}

// report prints an error and returns the exit code.
func (m *Main) report(err error) int {
	var code exited
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	fmt.Fprintf(m.Stderr, "millrace: %v\n", err)
	if hint := millrace.ErrorHint(err); hint != "" {
		fmt.Fprintf(m.Stderr, "hint: %s\n", hint)
	}
	if millrace.ErrorCode(err) == millrace.ErrInvalid {
		return exitUsage
	}
	return exitFailed
}
