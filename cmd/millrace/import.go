package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/agent"
)

// importCmd sends files to a server. Exit codes: 0 every line of every file is
// stored, or was before; 3 all files were read, but some lines were refused;
// else a file failed, and another start goes on where it stopped.
type importCmd struct {
	Files   []string `arg:"" name:"file" help:"Files or patterns; .gz and .zst are decompressed; - is standard input, which cannot be resumed."`
	Server  string   `help:"URL of the server." default:"http://127.0.0.1:8080" env:"MILLRACE_SERVER"`
	Key     string   `help:"Ingest key; a server on loopback needs none." env:"MILLRACE_KEY"`
	Source  string   `help:"Name of the source." default:"default"`
	Format  string   `help:"Format of the lines; auto recognises each." default:"auto"`
	Project string   `help:"Project, if not the key's."`
	Service string   `help:"Service of lines that name none."`
	Host    string   `help:"Host of lines that name none."`
	Env     string   `help:"Environment of the lines."`
	Release string   `help:"Release of the lines."`
	State   string   `help:"Directory that remembers what was imported (default: the user's cache directory)." type:"path" placeholder:"DIR"`
	Again   bool     `help:"Import the files from the start, even if they were imported before."`
	JSON    bool     `name:"json" help:"Print the summary as JSON."`
}

// maxShown refused lines are shown per run; the summary has their number.
const maxShown = 20

// Run implements the command.
func (c *importCmd) Run(e *env) error {
	files, err := agent.Expand(c.Files)
	if err != nil {
		return err
	}
	if c.State == "" {
		if c.State, err = agent.DefaultStateDir(); err != nil {
			return err
		}
	}
	out := &importOutput{env: e, bar: e.stdoutTTY && !c.JSON, started: e.now()}
	for _, f := range files {
		if f == "-" {
			out.note("standard input cannot be resumed: if this is interrupted, starting it again repeats lines")
		}
	}
	sum, err := agent.Import(e.ctx, agent.ImportOptions{
		Server: c.Server, Key: c.Key, Source: c.Source, Format: c.Format, Project: c.Project,
		Service: c.Service, Host: c.Host, Env: c.Env, Release: c.Release,
		StateDir: c.State, Again: c.Again, Stdin: e.stdin,
		Progress: out.progress, Rejected: out.rejected, Retrying: out.retrying,
	}, files)
	out.clear()
	if perr := out.summary(sum, c.JSON); perr != nil {
		return perr
	}
	if errors.Is(err, e.ctx.Err()) && err != nil {
		out.note("interrupted; start it again to go on")
		return err
	}
	if err == nil && sum.Rejected > 0 {
		return exited(exitRejected)
	}
	return err
}

// importOutput shows what an import does.
type importOutput struct {
	env     *env
	bar     bool
	started time.Time

	mu     sync.Mutex
	drawn  time.Time // when the bar was drawn last
	width  int       // of what is drawn
	shown  int       // refused lines
	warned time.Time // of a retry
}

// note prints a line to standard error, where it disturbs no output.
func (o *importOutput) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.erase()
	_, _ = fmt.Fprintf(o.env.stderr, "millrace: "+format+"\n", args...)
}

func (o *importOutput) rejected(r agent.RejectedLine) {
	o.mu.Lock()
	o.shown++
	shown := o.shown
	o.mu.Unlock()
	switch {
	case shown <= maxShown:
		o.note("%s:%d: %s", r.Path, r.Line, r.Error)
	case shown == maxShown+1:
		o.note("further refused lines are only counted; millrace ledger shows them by reason")
	}
}

// retrying tells that the server does not take it, once in ten seconds.
func (o *importOutput) retrying(err error) {
	o.mu.Lock()
	now := o.env.now()
	quiet := now.Sub(o.warned) < 10*time.Second
	if !quiet {
		o.warned = now
	}
	o.mu.Unlock()
	if !quiet {
		o.note("%v; trying again", err)
	}
}

const barWidth = 24

// progress draws the bar, at most ten times a second.
func (o *importOutput) progress(p agent.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.env.now()
	if !o.bar || now.Sub(o.drawn) < 100*time.Millisecond {
		return
	}
	o.drawn = now
	o.erase()
	name := p.Path
	if p.Files > 1 {
		name = fmt.Sprintf("[%d/%d] %s", p.File, p.Files, name)
	}
	line := fmt.Sprintf("%s  %s lines  %s", name, humanize.Comma(p.Lines), humanize.IBytes(uint64(p.Read)))
	if p.Size > 0 {
		part := float64(p.Read) / float64(p.Size)
		full := int(part * barWidth)
		line = fmt.Sprintf("%s  [%s%s] %3.0f%%  %s lines", name,
			strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*part, humanize.Comma(p.Lines))
	}
	o.width = len([]rune(line))
	_, _ = io.WriteString(o.env.stdout, line)
}

// erase removes the bar. o.mu is held.
func (o *importOutput) erase() {
	if o.width > 0 {
		_, _ = io.WriteString(o.env.stdout, "\r\x1b[K")
		o.width = 0
	}
}

func (o *importOutput) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.erase()
}

func (o *importOutput) summary(sum *agent.Summary, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(o.env.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(sum)
	}
	for _, f := range sum.Files {
		if f.SplitLine > 0 {
			o.note("%s:%d: was being written when it was imported before; its rest became a line of its own", f.Path, f.SplitLine)
		}
		if _, err := fmt.Fprintln(o.env.stdout, describeFile(f)); err != nil {
			return err
		}
	}
	if len(sum.Files) < 2 {
		return nil
	}
	took := o.env.now().Sub(o.started)
	_, err := fmt.Fprintf(o.env.stdout, "%d files: %s events accepted, %s lines rejected, %s in %s\n", len(sum.Files),
		humanize.Comma(sum.Accepted), humanize.Comma(sum.Rejected), humanize.IBytes(uint64(sum.Bytes)), took.Round(time.Millisecond))
	return err
}

func describeFile(f agent.FileResult) string {
	switch {
	case f.Status == agent.StatusSkipped:
		return f.Path + ": already imported; --again imports it once more"
	case f.Err != nil:
		return fmt.Sprintf("%s: failed after %s events: %s", f.Path, humanize.Comma(f.Accepted), millrace.ErrorMessage(f.Err))
	}
	resumed := ""
	if f.Resumed {
		resumed = " (continued)"
	}
	return fmt.Sprintf("%s: %s events accepted, %s lines rejected, %s%s", f.Path,
		humanize.Comma(f.Accepted), humanize.Comma(f.Rejected), humanize.IBytes(uint64(f.Bytes)), resumed)
}
