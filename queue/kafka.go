package queue

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
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
		// A broker that stops closes connections in the middle of anything. That
		// it is no misunderstanding was found out by greet.
		kgo.AlwaysRetryEOF(),
	}
	opts = append(opts, q.securityOptions()...)
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
