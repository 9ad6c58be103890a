package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/decode"
)

// ImportOptions says where an import goes and who is told of it.
type ImportOptions struct {
	Server                  string // URL
	Key                     string
	Source, Format, Project string
	Service, Host, Env      string
	Release                 string
	StateDir                string // of what was imported; see DefaultStateDir
	Again                   bool   // import files from the start, even if they were imported

	Stdin io.Reader // what the file "-" is

	// NewSender makes the client of a stream of requests; nil is client.New.
	NewSender func(client.Options) (Sender, error)
	// Retrying is told of attempts that failed and are repeated. It is called
	// from several goroutines.
	Retrying func(error)
	// Progress is told from one goroutine of what was read and acknowledged;
	// Rejected of each refused line that the server lists (the first 100 of a
	// request).
	Progress func(Progress)
	Rejected func(RejectedLine)
}

// Sender sends a numbered request (client.Client).
type Sender interface {
	Send(ctx context.Context, seq int64, body []byte) (client.Answer, error)
}

// Progress of one file.
type Progress struct {
	Path        string
	Read, Size  int64 // bytes of the file, compressed if it is; Size is 0 for standard input
	Lines       int64 // acknowledged, of this run
	File, Files int   // which of how many, from 1
}

// RejectedLine is a line that the server refused.
type RejectedLine struct {
	Path  string `json:"file"`
	Line  int64  `json:"line"` // in the decompressed file, from 1
	Error string `json:"error"`
}

// The states of FileResult.
const (
	StatusImported = "imported" // read to its end
	StatusSkipped  = "skipped"  // had been imported before and has not grown
	StatusFailed   = "failed"   // see Error; what was acknowledged is not repeated
)

// FileResult is what became of one file in this run.
type FileResult struct {
	Path     string `json:"file"`
	Status   string `json:"status"`
	Resumed  bool   `json:"resumed"`  // went on where an earlier run ended
	Accepted int64  `json:"accepted"` // events
	Rejected int64  `json:"rejected"` // lines
	Lines    int64  `json:"lines"`    // read, blank ones too
	Bytes    int64  `json:"bytes"`    // decompressed
	// SplitLine is the number of a line whose beginning an earlier run sent
	// before its end was written, 0 if there is none.
	SplitLine int64  `json:"split_line,omitempty"`
	Error     string `json:"error,omitempty"`
	Err       error  `json:"-"`
}

// Summary is what became of all files.
type Summary struct {
	Files    []FileResult `json:"files"`
	Accepted int64        `json:"accepted"`
	Rejected int64        `json:"rejected"`
	Bytes    int64        `json:"bytes"`
}

// Import sends files in order and returns what became of each. A file that
// fails does not stop the others, unless ctx has ended. The error is the first
// file's, or nil.
//
// A file is sent to the size it has when it is opened, a last line without its
// line end included. If it grows later, another Import sends what was added. If
// a writer was in the middle of a line or of a stack trace at that moment, the
// rest of it becomes an event of its own; FileResult.SplitLine tells of lines.
func Import(ctx context.Context, o ImportOptions, files []string) (*Summary, error) {
	if o.NewSender == nil {
		var shared *http.Client // its connections serve all files
		o.NewSender = func(c client.Options) (Sender, error) {
			c.HTTP = shared
			made, err := client.New(o.Server, c)
			if err == nil {
				shared = made.HTTPClient()
			}
			return made, err
		}
	}
	if o.Format == "" {
		o.Format = "auto"
	}
	sum := &Summary{Files: []FileResult{}}
	if err := decode.Frame(o.Format, nil, decode.Limits{}, &decode.Framing{}); err != nil {
		return sum, err // no such format: better said before anything is sent
	}
	states := &stateDir{dir: o.StateDir}
	var first error
	for i, path := range files {
		imp := &fileImport{o: &o, states: states, res: FileResult{Path: path, Status: StatusImported}, file: i + 1, files: len(files)}
		err := imp.run(ctx, path)
		if err == nil && imp.res.Accepted == 0 && imp.res.Rejected > 0 {
			err = millrace.Errorf(millrace.ErrInvalid, "none of its %d lines could be taken: is the format %q right?", imp.res.Rejected, o.Format)
		}
		if err != nil {
			imp.res.Status, imp.res.Err, imp.res.Error = StatusFailed, err, err.Error()
			if first == nil {
				first = fmt.Errorf("%s: %w", path, err)
			}
		}
		sum.Files = append(sum.Files, imp.res)
		sum.Accepted += imp.res.Accepted
		sum.Rejected += imp.res.Rejected
		sum.Bytes += imp.res.Bytes
		if ctx.Err() != nil {
			break
		}
	}
	return sum, first
}

// fileImport is the import of one file.
type fileImport struct {
	o           *ImportOptions
	res         FileResult
	file, files int
	read, size  int64
	states      *stateDir
	state       *state
	resumable   bool
	begun       bool // by an earlier run, which may have sent nothing
	unsaved     int  // acknowledgements since the state was saved
}

func (f *fileImport) run(ctx context.Context, path string) error {
	if path == "-" {
		f.state = f.newState()
		src, err := plain(f.count(f.o.Stdin))
		if err != nil {
			return readError(err)
		}
		return f.send(ctx, src)
	}
	file, err := os.Open(path)
	if err != nil {
		return openError(err)
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return openError(err)
	}
	if st.IsDir() {
		return millrace.Errorf(millrace.ErrInvalid, "is a directory; name files or a pattern such as '%s/*'", strings.TrimSuffix(path, "/"))
	}
	if !st.Mode().IsRegular() {
		return millrace.Errorf(millrace.ErrInvalid, "is not a regular file; read it by way of standard input: millrace import - < %s", path)
	}
	if err := f.states.open(); err != nil {
		return err
	}
	f.resumable = true
	unlock, err := f.begin(path, file, st)
	if err != nil {
		return err
	}
	defer unlock()
	if f.res.Status == StatusSkipped {
		return nil
	}
	return f.importFrom(ctx, file)
}

// begin finds or makes the file's state, locks it, and stores how far this run
// will read.
func (f *fileImport) begin(path string, file *os.File, st os.FileInfo) (unlock func(), err error) {
	id, err := identify(path, file, st)
	if err != nil {
		return nil, openError(err)
	}
	release, err := f.states.lock("all", true)
	if err != nil {
		return nil, err
	}
	defer release()
	f.state = f.newState()
	old, err := f.states.find(f.state, file, id, st.Size())
	if err != nil {
		return nil, err
	}
	if old != nil && f.o.Again {
		// Whoever still imports it must end first.
		if unlock, err = f.states.lock(old.Client, false); err != nil {
			return nil, err
		}
		err = f.states.remove(old)
		unlock()
		if err != nil {
			return nil, err
		}
		old = nil
	}
	if old != nil {
		f.state, f.begun = old, true
		if old.Format != f.o.Format && !old.Done {
			return nil, millrace.Errorf(millrace.ErrConflict,
				"its import was begun with --format %s and must be ended with it, or begun --again", old.Format)
		}
	}
	if unlock, err = f.states.lock(f.state.Client, false); err != nil {
		return nil, err
	}
	if err := f.resume(id, st.Size()); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// resume decides what this run reads. An import that was not ended reads to
// where it meant to at first; the rest of a file that has grown meanwhile comes
// after (see importFrom).
func (f *fileImport) resume(id identity, size int64) error {
	s := f.state
	f.res.Resumed = s.Offset > 0 || s.Done
	if s.Done && s.Size == size {
		f.res.Status = StatusSkipped
		return nil
	}
	if s.Done || s.Size == 0 {
		s.Size, s.Done = size, false
	}
	s.File, s.Format = id, f.o.Format
	return f.states.save(s)
}

func (f *fileImport) importFrom(ctx context.Context, file *os.File) error {
	// If the file has grown since an interrupted run, go on once. What is added
	// while this run reads is for the next one, or a busy file would never end.
	for again := f.begun; ; again = false {
		if err := f.pass(ctx, file); err != nil {
			return err
		}
		st, err := file.Stat()
		if err != nil {
			return openError(err)
		}
		f.state.Done = true
		grown := again && st.Size() > f.state.Size
		if grown {
			f.state.Size, f.state.Done = st.Size(), false
		}
		if err := f.states.save(f.state); err != nil || !grown {
			return err
		}
	}
}

// pass reads the file from the acknowledged offset to the state's size.
func (f *fileImport) pass(ctx context.Context, file *os.File) error {
	f.read, f.size = 0, f.state.Size
	src, err := plain(f.count(io.NewSectionReader(file, 0, f.state.Size)))
	if err != nil {
		return f.unreadable(err)
	}
	if n, err := io.CopyN(io.Discard, src, f.state.Offset); err != nil {
		return f.unreadable(fmt.Errorf("it ends after %d bytes, of which %d were imported before: %w", n, f.state.Offset, err))
	}
	if f.state.Unended {
		br := bufio.NewReader(src)
		src = br
		if next, err := br.Peek(1); err == nil && next[0] != '\n' {
			f.res.SplitLine = f.state.Lines
		}
		f.state.Lines-- // its rest is still the same line
	}
	return f.send(ctx, src)
}

// unreadable handles a file that ends before it should. No chunk was bounded
// by its end, so that the next run may read it to another size.
func (f *fileImport) unreadable(err error) error {
	if f.resumable {
		f.state.Size = 0
		if saved := f.states.save(f.state); saved != nil {
			return saved
		}
	}
	return readError(err)
}

func (f *fileImport) newState() *state {
	return &state{
		Version: stateVersion, Client: client.NewClientID(),
		Server: strings.TrimSuffix(f.o.Server, "/"), Project: f.o.Project, Source: f.o.Source, Format: f.o.Format,
	}
}

func (f *fileImport) count(r io.Reader) io.Reader {
	return counter{r, func(n int) { f.read += int64(n) }}
}

func openError(err error) error {
	code := millrace.ErrUnavailable
	if errors.Is(err, os.ErrNotExist) {
		code = millrace.ErrNotFound
	}
	return &millrace.Error{Code: code, Message: "cannot be opened", Err: err}
}

func readError(err error) error {
	return &millrace.Error{
		Code: millrace.ErrInvalid, Message: "cannot be read to its end; what came before is imported", Err: err,
		Hint: "if it is still being written, start the import again when it is complete",
	}
}
