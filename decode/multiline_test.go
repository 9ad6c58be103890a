package decode

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expectations in testdata")

// TestJoiner runs testdata/multiline.txt.
func TestJoiner(t *testing.T) {
	const file = "testdata/multiline.txt"
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var j Joiner
	var out strings.Builder
	name, cases := "", 0
	for line := range strings.Lines(string(script)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "== "); ok {
			name = rest
			cases++
			j.Reset()
		} else if len(line) > 1 && line[1] == ' ' && (line[0] == '>' || line[0] == '.') && name != "" {
			mark := ">"
			if j.Continues([]byte(line[2:])) {
				mark = "."
			}
			if mark != line[:1] && !*rewrite {
				t.Errorf("%s: got %q for %q", name, mark, line)
			}
			line = mark + line[1:]
		}
		out.WriteString(line + "\n")
	}
	if cases < 30 {
		t.Errorf("only %d cases", cases)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var joinerLines = map[string]string{
	"json":   `{"time":"2024-01-01T00:00:00Z","level":"info","msg":"request served","status":200,"path":"/api/v1/items"}`,
	"access": `199.72.81.55 - - [01/Jul/1995:00:00:01 -0400] "GET /history/apollo/ HTTP/1.0" 200 6245`,
	"host":   `in24.inetnebr.com - - [01/Aug/1995:00:00:01 -0400] "GET /shuttle/missions/sts-68/news/sts-68-mcc-05.txt HTTP/1.0" 200 1839`,
	"header": `2016-12-19 16:00:00,123 INFO [Group Metadata Manager on Broker 0]: Removed 0 expired offsets in 0 milliseconds. (kafka.coordinator.GroupMetadataManager)`,
	"plain":  `Accepted connection from the other side of the world`,
	"frame":  `	at org.apache.kafka.clients.NetworkClient.poll(NetworkClient.java:261)`,
}

func TestJoinerAllocs(t *testing.T) {
	var j Joiner
	for name, line := range joinerLines {
		b := []byte(line)
		if n := testing.AllocsPerRun(100, func() { j.Continues(b) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkJoiner(b *testing.B) {
	for _, name := range []string{"json", "access", "host", "header", "plain", "frame"} {
		b.Run(name, func(b *testing.B) {
			line := []byte(joinerLines[name])
			var j Joiner
			b.ReportAllocs()
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				j.Continues(line)
			}
		})
	}
}

// FuzzJoiner: no panic, the first line begins, equal input gives equal output,
// and a JSON line always begins an event.
func FuzzJoiner(f *testing.F) {
	script, err := os.ReadFile("testdata/multiline.txt")
	if err != nil {
		f.Fatal(err)
	}
	for c := range bytes.SplitSeq(script, []byte("\n== ")) {
		var lines []byte
		for line := range bytes.Lines(c) {
			if len(line) > 2 {
				lines = append(lines, line[2:]...)
			}
		}
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var a, b Joiner
		b.Continues([]byte("\tat something.before"))
		b.Reset()
		for i, line := range bytes.Split(body, []byte("\n")) {
			got := a.Continues(line)
			if got != b.Continues(line) {
				t.Fatalf("line %d: not deterministic", i)
			}
			if got && (i == 0 || len(line) > 1 && line[0] == '{') {
				t.Fatalf("line %d continues: %q", i, line)
			}
		}
	})
}

// TestJoinerSeparates: in access logs and in logs of one line per record,
// every line is an event.
func TestJoinerSeparates(t *testing.T) {
	f := func(pattern string, wantFiles int) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(testdata.Shared(t, ""), pattern))
		if err != nil || len(files) < wantFiles {
			t.Errorf("%s: %d files, want %d: %v", pattern, len(files), wantFiles, err)
		}
		for _, file := range files {
			var j Joiner
			for line := range bytes.Lines(readLog(t, file)) {
				if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && j.Continues(line) {
					t.Errorf("%s: %.200q continues", filepath.Base(file), line)
				}
			}
		}
	}
	f("access-logs/*/*.log", 20)
	f("access-logs/*/*.log.gz", 1)
	f("access-logs/elastic-apache/*", 1)
	f("app-logs/loghub/*/*_2k.log", 8)
	f("app-logs/crowdsec-hub/*.log", 190)
	f("app-logs/filebeat-modules/system/auth/*.log", 4)
}

// readLog reads a file, unpacked if its name ends in .gz.
func readLog(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil && strings.HasSuffix(file, ".gz") {
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			data, err = io.ReadAll(r)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}
