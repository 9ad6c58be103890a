package queue

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// dialTimeout bounds one connection's beginning: a broker that is silent may not
// keep those that come after it from being asked.
const dialTimeout = 10 * time.Second

// greet waits until a broker answers, at most Options.Timeout. What will not pass
// by itself, such as a wrong password, ends it at once. A client of its own: the
// others take nearly every fault for one that passes.
func (q *Queue) greet(ctx context.Context) error {
	const op = "connect to Kafka"
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout.Std())
	defer cancel()
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(q.addrs...),
		kgo.ClientID("millrace"),
		kgo.DisableClientMetrics(),
		kgo.WithLogger(clientLog{q.log}),
		kgo.DialTimeout(min(q.opts.Timeout.Std(), dialTimeout)),
	}, q.securityOptions()...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return q.failed(op, err)
	}
	defer client.Close()
	var last error
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // what ctx cut off says less
		}
		e := &millrace.Error{
			Code: millrace.ErrUnavailable, Op: op, Err: last, Message: "no broker answers at " + strings.Join(q.addrs, ", "),
			Hint: "check queue.broker, that the brokers are up, and that this host may connect to them",
		}
		_, ours := errors.AsType[*millrace.Error](last)
		refused := q.refused(e, last)
		// A host that starts may have to wait for its name service.
		if _, noHost := errors.AsType[*net.DNSError](last); (ours || refused) && !noHost {
			return q.failed(op, last)
		}
		select {
		case <-ctx.Done():
			return e
		case <-time.After(wait):
		}
	}
}
