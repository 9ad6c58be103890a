package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/queue"
)

// TestKcat fills a topic with kcat, as docs/clients/kcat.md says, and consumes it
// with a server that is killed in the middle.
func TestKcat(t *testing.T) {
	if os.Getenv("MILLRACE_CLIENTS") == "" {
		t.Skip("needs real clients: make test-clients")
	}
	kafka, err := queue.Open(t.Context(), queue.DefaultOptions(), t.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kafka.Close() })
	addr := kafka.Addrs()[0]
	createTopic(t, addr, "checkout")
	const half = 3000
	dir := t.TempDir()
	args := []string{"--broker", addr, "--consume", "checkout=json"}
	extra := "queue: {topic: events, replication: 1, group: {session_timeout: 1s, heartbeat: 100ms}}\n"
	in := spawn(t, dir, extra, "queue.append.after=kill:2", args...)
	kcat(t, addr, 0, half)
	if err := in.cmd.Wait(); err == nil {
		t.Fatal("it was to be killed")
	}
	kcat(t, addr, half, 2*half)
	in = boot(t, dir, extra, args...)
	const n = `CAST(json_extract(attrs, '$.n') AS BIGINT)`
	query := "SELECT count(*), count(DISTINCT " + n + "), sum(" + n + ") FROM events WHERE source = 'checkout' AND level = 'info' AND message = 'sold'"
	want := fmt.Sprint([]string{fmt.Sprint(2 * half), fmt.Sprint(2 * half), fmt.Sprint(2 * half * (2*half - 1) / 2)})
	var got string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = fmt.Sprint(in.sql(query)[0]); got == want {
			return
		}
	}
	t.Fatalf("%s, want %s\n%s", got, want, in.logs)
}

func createTopic(t *testing.T, addr, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// kcat runs the page's command with lines numbered from first to before last.
func kcat(t *testing.T, addr string, first, last int) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "clients", "kcat.md"))
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?s)```sh kcat\n(.*?)```").FindSubmatch(page)
	if fence == nil {
		t.Fatal("the page has no snippet")
	}
	var lines bytes.Buffer
	for i := first; i < last; i++ {
		fmt.Fprintf(&lines, `{"level":"info","message":"sold","n":%d}`+"\n", i)
	}
	file := filepath.Join(t.TempDir(), "checkout.ndjson")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("kafka-1:9092", addr, "checkout.ndjson", file).Replace(string(fence[1]))
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, out)
	}
}
