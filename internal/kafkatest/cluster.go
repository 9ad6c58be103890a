// Package kafkatest runs real Apache Kafka brokers for tests: one to three in
// KRaft mode on loopback, each a Java process with a data directory of its own,
// that can be killed, paused and restarted.
//
//	cluster.go   Start, Kill, Restart, Pause
//	config.go    what the brokers are told
//	secure.go    a broker with TLS and SASL listeners
//	admin.go     who leads a partition
//	jars.go      the broker's jars: pinned, checked, cached
//	fetch/       the command that downloads them
//
// Tests skip unless MILLRACE_CLUSTER=1, and fail if it is set and something is
// missing. A broker takes about 350 MB and, on one core, three seconds to start.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is a running cluster. Methods are safe for concurrent use, but only
// one should stop or start a broker at a time.
type Cluster struct {
	dir     string
	jars    string
	secure  *certs // nil without TLS and SASL
	brokers []*broker
	client  *kgo.Client
}

// broker is one process and what it needs to start again.
type broker struct {
	id    int // node id, from 1
	dir   string
	ports ports

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// readyTimeout bounds the start of a cluster on a busy machine.
const readyTimeout = 2 * time.Minute

// Start runs brokers and stops them when the test ends.
func Start(t testing.TB, brokers int) *Cluster {
	t.Helper()
	return start(t, brokers, nil)
}

func start(t testing.TB, brokers int, secure *certs) *Cluster {
	t.Helper()
	Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	c, err := newCluster(ctx, t.TempDir(), brokers, secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs())
		}
		c.Close()
	})
	return c
}

// Need skips the test unless cluster tests are asked for, and fails it if they
// are and something is missing.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv("MILLRACE_CLUSTER") != "1" {
		t.Skip("needs real Kafka brokers: make test-cluster")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Fatal("needs Java 17: apt-get install openjdk-17-jre-headless")
	}
	if _, err := Jars(); err != nil {
		t.Fatal(err)
	}
}

// New runs brokers, one to three, with their data under dir, and returns when
// all of them serve. For programs; tests use Start.
func New(ctx context.Context, dir string, brokers int) (*Cluster, error) {
	return newCluster(ctx, dir, brokers, nil)
}

func newCluster(ctx context.Context, dir string, brokers int, secure *certs) (*Cluster, error) {
	jars, err := Jars()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, jars: jars, secure: secure}
	for id := range brokers {
		b := &broker{id: id + 1, dir: filepath.Join(dir, "broker-"+strconv.Itoa(id+1))}
		if b.ports, err = freePorts(); err != nil {
			return nil, err
		}
		c.brokers = append(c.brokers, b)
	}
	for _, b := range c.brokers {
		if err = c.prepare(b); err == nil {
			err = c.launch(b)
		}
		if err != nil {
			c.Close()
			return nil, err
		}
	}
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.AlwaysRetryEOF(),
		kgo.MetadataMinAge(50*time.Millisecond)); err != nil {
		c.Close()
		return nil, err
	}
	if err := c.Ready(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, c.Logs())
		c.Close()
		return nil, err
	}
	return c, nil
}

// Addrs returns the plain listeners of all brokers, host:port.
func (c *Cluster) Addrs() []string {
	var out []string
	for _, b := range c.brokers {
		out = append(out, b.ports.addr(b.ports.plain))
	}
	return out
}

// launch starts a broker's process.
func (c *Cluster) launch(b *broker) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	//nolint:gosec // our own arguments
	cmd := exec.CommandContext(context.Background(), "java", "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(c.jars, "*"), "kafka.Kafka", filepath.Join(b.dir, "server.properties"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = b.dir
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start broker %d: %w", b.id, err)
	}
	done := make(chan struct{})
	b.cmd, b.done = cmd, done
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	return nil
}

// end sends a signal and waits for the process to end.
func (b *broker) end(signal syscall.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return nil
	}
	// A paused process takes no other signal.
	if err := errors.Join(b.cmd.Process.Signal(signal), b.cmd.Process.Signal(syscall.SIGCONT)); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("broker %d: %w", b.id, err)
	}
	<-b.done
	b.cmd = nil
	return nil
}

func (b *broker) signal(signal syscall.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return fmt.Errorf("broker %d is not running", b.id)
	}
	return b.cmd.Process.Signal(signal)
}

// broker returns the broker with a node id, from 1.
func (c *Cluster) broker(id int) *broker {
	if id < 1 || id > len(c.brokers) {
		panic(fmt.Sprintf("BUG: there are brokers 1 to %d, not %d", len(c.brokers), id))
	}
	return c.brokers[id-1]
}

// PID is the process of a broker that runs.
func (c *Cluster) PID(id int) int { return c.broker(id).cmd.Process.Pid }

// Kill ends a broker with SIGKILL.
func (c *Cluster) Kill(id int) error { return c.broker(id).end(syscall.SIGKILL) }

// Stop ends a broker in the orderly way: it hands its partitions over first.
func (c *Cluster) Stop(id int) error { return c.broker(id).end(syscall.SIGTERM) }

// Restart starts a broker that was killed or stopped, with its data and
// addresses. It does not wait; see Ready.
func (c *Cluster) Restart(id int) error { return c.launch(c.broker(id)) }

// Pause stops a broker in its tracks; its connections stay open.
func (c *Cluster) Pause(id int) error { return c.broker(id).signal(syscall.SIGSTOP) }

// Resume wakes a paused broker.
func (c *Cluster) Resume(id int) error { return c.broker(id).signal(syscall.SIGCONT) }

// Running returns the node ids of the brokers whose process runs.
func (c *Cluster) Running() []int {
	var out []int
	for _, b := range c.brokers {
		b.mu.Lock()
		if b.cmd != nil {
			out = append(out, b.id)
		}
		b.mu.Unlock()
	}
	return out
}

// Close kills all brokers. Their data stays.
func (c *Cluster) Close() {
	if c.client != nil {
		c.client.Close()
	}
	for _, b := range c.brokers {
		_ = b.end(syscall.SIGKILL) // it is gone
	}
}

// Logs returns the end of each broker's log.
func (c *Cluster) Logs() string {
	const most = 2000
	var out strings.Builder
	for _, b := range c.brokers {
		text, err := os.ReadFile(filepath.Join(b.dir, "log"))
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&out, "--- broker %d\n%s\n", b.id, text[max(0, len(text)-most):])
	}
	return out.String()
}

// ports are where a broker listens. Those of listeners it does not have are
// unused.
type ports struct{ plain, controller, tls, mutual, sasl, saslTLS int }

func (ports) addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts asks the kernel. Nobody holds them until the broker listens, which
// another program could do first; then the broker's log says so.
func freePorts() (ports, error) {
	var p ports
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // it was only for its number
		}
	}()
	for _, to := range []*int{&p.plain, &p.controller, &p.tls, &p.mutual, &p.sasl, &p.saslTLS} {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return p, err
		}
		open = append(open, l)
		*to = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

// isIn reports whether all of want are in have.
func isIn(want, have []int) bool {
	for _, id := range want {
		if !slices.Contains(have, id) {
			return false
		}
	}
	return true
}
