package clienttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// otelCollectorUnderWay is what the exporter of the page has under way at most:
// consumers times records of a batch.
const otelCollectorUnderWay = 2 * 500

// Half of the events come from a file, half by OTLP; the collector sends them on
// while the server is killed and started again.
func TestOpenTelemetryCollector(t *testing.T) {
	Require(t)
	binary := filepath.Join(present(t, filepath.Join(Cache(t), "collector"), "collector"), "collector")
	for _, exporter := range []string{"otlphttp", "otlp"} {
		t.Run(exporter, func(t *testing.T) {
			s := Start(t, "")
			dir, in := t.TempDir(), FreeAddr(t)
			config := Snippet(t, "opentelemetry-collector.md", "yaml", 0,
				"/var/lib/otelcol", filepath.Join(dir, "storage"), "/var/log/shop/*.log", filepath.Join(dir, "*.log"),
				"127.0.0.1:4318", in, "127.0.0.1:8080", s.Addr, "MILLRACE_KEY", s.Key(),
				"exporters: [otlphttp]", "exporters: ["+exporter+"]")
			stop := startCollector(t, binary, dir, config)
			log, err := os.Create(filepath.Join(dir, "shop.log"))
			if err != nil {
				t.Fatal(err)
			}
			feed := &otelFeed{t: t, file: log, url: "http://" + in + "/v1/logs"}
			if err := s.feed(feed, eventLine(false)); err != nil {
				t.Fatal(err)
			}
			s.Wait(elasticEvents, `SELECT count(DISTINCT message) FROM events WHERE source = 'shop' AND level = 'warn' AND service = 'checkout' AND release = '1.2.3'
				AND host = 'web-07' AND trace_id LIKE '4bf92f3577b34da6%' AND time >= TIMESTAMP '2026-03-05 11:59:58' AND time < TIMESTAMP '2026-03-05 11:59:59'
				AND message = 'order ' || (attrs->>'order') || ' placed'`)
			stop()
			s.checkDoubled("shop", false, otelCollectorUnderWay)
			s.Wait(elasticEvents/2, `SELECT count(DISTINCT message) FROM events WHERE source = 'shop' AND (attrs->>'log.file.name') = 'shop.log'`)
		})
	}
}

// startCollector starts a collector and returns what ends it, after it has sent
// all that it can.
func startCollector(t *testing.T, binary, dir, config string) (stop func()) {
	t.Helper()
	path := filepath.Join(dir, "collector.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(binary, "--config", path)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killed := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		killed.Stop()
		if err != nil || t.Failed() {
			t.Errorf("the collector: %v\n%s", err, out.String())
		}
	}
	t.Cleanup(stop)
	return stop
}

// otelFeed writes every second event to a file, and sends the others by OTLP as
// an application would, in JSON.
type otelFeed struct {
	t       *testing.T
	file    *os.File
	url     string
	n       int
	records []string
}

// Write implements io.Writer; p is one line.
func (f *otelFeed) Write(p []byte) (int, error) {
	f.n++
	if f.n%2 == 0 {
		return f.file.Write(p)
	}
	var event struct {
		Message, Time string
		Order         int
	}
	if err := json.Unmarshal(p, &event); err != nil {
		return 0, err
	}
	at, err := time.Parse(time.RFC3339, "2026-03-05T11:59:58Z")
	if err != nil {
		return 0, err
	}
	f.records = append(f.records, fmt.Sprintf(`{"timeUnixNano":"%d","severityNumber":13,"severityText":"WARN","body":{"stringValue":%q},"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","attributes":[{"key":"order","value":{"intValue":"%d"}}]}`,
		at.UnixNano()+int64(event.Order), event.Message, event.Order))
	if len(f.records) == 100 {
		return len(p), f.flush()
	}
	return len(p), nil
}

// Close sends what is left.
func (f *otelFeed) Close() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.file.Close()
}

func (f *otelFeed) flush() error {
	if len(f.records) == 0 {
		return nil
	}
	body := `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}},{"key":"service.version","value":{"stringValue":"1.2.3"}},` +
		`{"key":"host.name","value":{"stringValue":"web-07"}}]},"scopeLogs":[{"scope":{"name":"test"},"logRecords":[` + strings.Join(f.records, ",") + `]}]}]}`
	f.records = nil
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // until the collector is up
		resp, err := http.Post(f.url, "application/json", strings.NewReader(body))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("the collector answered %s", resp.Status)
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}
