package agent

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/failpoint"
)

const (
	// inFlight requests keep the server busy while others wait for its disk.
	inFlight = 4
	// saveEvery acknowledgements the state is saved, which waits for our disk.
	// After a kill as many chunks, and those in flight, are sent again in vain;
	// it must stay far below the 1,024 requests that the server remembers.
	saveEvery = 4
)

// pending is a request under way.
type pending struct {
	chunk  *chunk
	answer client.Answer
	err    error
	done   chan struct{}
}

// send sends src, which begins at the state's offset, in chunks: a few at a
// time, acknowledged in order. When it returns, the state says what was.
func (f *fileImport) send(ctx context.Context, src io.Reader) error {
	o := f.o
	sender, err := o.NewSender(client.Options{
		Key: o.Key, Source: o.Source, Format: o.Format, Project: o.Project,
		Service: o.Service, Host: o.Host, Env: o.Env, Release: o.Release,
		ClientID: f.state.Client,
		Retrying: f.retrying(),
	})
	if err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "%v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var queue []*pending
	defer func() {
		cancel()
		for _, p := range queue {
			<-p.done // it uses the sender and the body
		}
	}()
	chunks := newChunker(src, o.Format, f.state.Offset, f.state.Lines)
	for seq, end := f.state.Seq, error(nil); ; {
		for end == nil && len(queue) < inFlight {
			var c *chunk
			if c, end = chunks.next(); end == nil {
				queue = append(queue, start(ctx, sender, seq, c))
				seq++
			}
		}
		if len(queue) == 0 {
			return f.ended(end)
		}
		<-queue[0].done
		p := queue[0]
		queue = queue[1:]
		if err := f.ack(p); err != nil {
			return errors.Join(err, f.save())
		}
	}
}

// ended handles the end of the chunks.
func (f *fileImport) ended(err error) error {
	if saved := f.save(); saved != nil {
		return saved
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if millrace.ErrorCode(err) != millrace.ErrInternal {
		return err
	}
	return f.unreadable(err)
}

func start(ctx context.Context, sender Sender, seq int64, c *chunk) *pending {
	p := &pending{chunk: c, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.answer, p.err = sender.Send(ctx, seq, c.body)
	}()
	return p
}

// ack takes the answer to the oldest request.
func (f *fileImport) ack(p *pending) error {
	if p.err != nil {
		return sendError(p.err)
	}
	if err := failpoint.Hit("import.ack"); err != nil {
		return err
	}
	s, c := f.state, p.chunk
	f.res.Accepted += int64(p.answer.Accepted)
	f.res.Rejected += int64(p.answer.RejectedTotal)
	f.res.Lines += c.lines
	f.res.Bytes += c.end - s.Offset
	s.Accepted += int64(p.answer.Accepted)
	s.Rejected += int64(p.answer.RejectedTotal)
	s.Offset, s.Lines = c.end, c.line+c.lines
	s.Unended = c.body[len(c.body)-1] != '\n'
	s.Seq++
	if f.o.Rejected != nil {
		for _, r := range p.answer.Rejected {
			f.o.Rejected(RejectedLine{f.res.Path, c.line + int64(r.Line), r.Error})
		}
	}
	if f.o.Progress != nil {
		f.o.Progress(Progress{f.res.Path, f.read, f.size, f.res.Lines, f.file, f.files})
	}
	if f.unsaved++; f.unsaved < saveEvery {
		return nil
	}
	return f.save()
}

func (f *fileImport) save() error {
	if !f.resumable || f.unsaved == 0 {
		return nil
	}
	f.unsaved = 0
	return f.states.save(f.state)
}

// sendError gives a refusal by the server the code it came with.
func sendError(err error) error {
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return &millrace.Error{Code: millrace.ErrUnavailable, Message: "the server cannot be reached", Err: err, Hint: "is it running, and is --server right?"}
	}
	e := &millrace.Error{Code: millrace.Code(refusal.Code), Message: refusal.Error()}
	switch e.Code {
	case millrace.ErrConflict:
		e.Hint = "the state of this import is too old for the server; import the file --again"
	case millrace.ErrUnauthorized, millrace.ErrForbidden:
		e.Hint = "give an ingest key with --key or MILLRACE_KEY; millrace keys create makes one"
	case "":
		e.Code = millrace.ErrUnavailable
	}
	return e
}

func (f *fileImport) retrying() func(error, time.Duration) {
	if f.o.Retrying == nil {
		return nil
	}
	return func(err error, _ time.Duration) { f.o.Retrying(err) }
}
