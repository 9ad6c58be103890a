package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// producerOptions are those of the one producer.
//
// Snappy: on JSON log lines lz4 takes 1.6 times and zstd twice as long to
// compress; and it cannot shrink a batch more than 21 to 1, which bounds what a
// fetch can grow to in memory. See snappy.go.
//
// No linger: a lone append goes out at once. Under load the client has up to
// five requests under way, and what arrives meanwhile shares a batch.
func (q *Queue) producerOptions() []kgo.Opt {
	return append(q.clientOptions(),
		kgo.DefaultProduceTopic(q.opts.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.WithCompressor(pieceCompressor{}),
		kgo.ProducerLinger(0),
		// Memory is bounded by bytes, in Append. The record limit must not
		// become the bound for small records.
		kgo.MaxBufferedRecords(1<<20),
		kgo.RecordDeliveryTimeout(q.opts.Timeout.Std()),
		// Else a record whose request got no answer is retried for ever. Its
		// sender gets an error and repeats it under its client sequence,
		// which the sinks know.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.UnknownTopicRetries(1), // then followTopic looks
	)
}

// clientOptions are those of producer and consumers.
func (q *Queue) clientOptions() []kgo.Opt {
	return append(q.connectOptions(), kgo.RetryTimeout(q.opts.Timeout.Std()))
}

// connectOptions are those of all clients: how to reach the brokers.
func (q *Queue) connectOptions() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(q.addrs...),
		kgo.ClientID("millrace"),
		kgo.DisableClientMetrics(),
		kgo.WithLogger(clientLog{q.log}),
		kgo.MetadataMinAge(metadataMinAge),
	}
	if q.door != nil {
		opts = append(opts, kgo.Dialer(q.door.dial))
	}
	return opts
}

// clientLog passes what the client says to slog. Its warnings are about
// retries that go on by themselves, so they are informative here; errors that
// matter come back from calls.
type clientLog struct{ log *slog.Logger }

func (clientLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l clientLog) Log(level kgo.LogLevel, msg string, kv ...any) {
	l.log.Log(context.Background(), slog.LevelDebug, "kafka client: "+msg, append(kv, "level", level.String())...)
}

// brokerLog passes on what the embedded broker says. Its warnings are failed
// writes and repairs: an operator should see them.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError, kfake.LogLevelWarn:
		to = slog.LevelWarn
	case kfake.LogLevelInfo, kfake.LogLevelDebug:
		return // one line per request
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, "embedded broker: "+fmt.Sprintf(format, args...))
	}
}

// failed turns an error of a call to the broker into one for users.
func (q *Queue) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	e := &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Err: err}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = millrace.ErrTimeout, "the queue did not answer in time; whether the records are stored is unknown"
	case errors.Is(err, kgo.ErrClientClosed):
		e.Message = "the queue is closed"
	case errors.Is(err, kerr.MessageTooLarge):
		e.Code, e.Message = millrace.ErrTooLarge, "the broker refuses records of this size"
		e.Hint = fmt.Sprintf("set max.message.bytes of topic %q to at least %d", q.opts.Topic, batchBytes)
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		e.Message = "the broker did not take the records within " + q.opts.Timeout.String()
		e.Hint = "is the broker at " + strings.Join(q.addrs, ", ") + " up and reachable?"
	case q.cluster != nil && errors.Is(err, kerr.UnknownServerError):
		// The broker does not say why; a full disk is the common cause.
		e.Message = "the queue could not write to its directory"
		if diskFull(q.dir) {
			e.Message = fullMessage
		}
		e.Hint = diskHint(q.dir)
	case q.cluster == nil:
		e.Message = "the broker failed"
		e.Hint = "see the log of the broker at " + strings.Join(q.addrs, ", ")
	default:
		e.Message = "the queue failed"
	}
	return e
}

// unavailable is the error of a directory that cannot be used.
func unavailable(op, dir string, err error) error {
	message := "the queue directory " + dir + " cannot be used"
	if errors.Is(err, syscall.ENOSPC) {
		message = fullMessage
	}
	return &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Err: err, Message: message, Hint: diskHint(dir)}
}

const fullMessage = "the server's disk is full; nothing can be taken until there is space again"

// diskFull reports whether there is no room for a batch.
func diskFull(dir string) bool {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return err == nil && int64(st.Bavail)*int64(st.Bsize) < batchBytes //nolint:unconvert // the types differ between systems
}

func diskHint(dir string) string {
	return "check that " + dir + " is writable and that its disk has free space"
}

// probe reports whether a small file can be written and synced in dir.
func probe(dir string) error {
	name := dir + string(os.PathSeparator) + "probe"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(time.Unix(0, 0).String()) // anything: space is what is tested
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}
