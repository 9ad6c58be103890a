package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// send posts a body and returns the status and the answer's text.
func (in *instance) send(query string, body io.Reader, encoding string) (int, string) {
	in.t.Helper()
	h := http.Header{}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	return in.call(http.MethodPost, "/ingest?"+query, body, h, nil)
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBadBodies: each kind of bad input gets a clear answer, and what is good
// around it is stored.
func TestBadBodies(t *testing.T) {
	in := boot(t, "", "")
	stored := 0
	f := func(name string, code int, query string, body io.Reader, encoding string, accepted int, want ...string) {
		t.Helper()
		got, text := in.send(query, body, encoding)
		if got != code {
			t.Errorf("%s: status %d, want %d: %.300s", name, got, code, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: answer lacks %q: %.500s", name, w, text)
			}
		}
		stored += accepted
	}
	good := `{"message":"good"}` + "\n"
	whole := gzipped(t, strings.Repeat(good, 1000))
	f("truncated gzip", 400, "source=x", bytes.NewReader(whole[:len(whole)/2]), "gzip", 0, "nothing")
	f("not gzip at all", 400, "source=x", strings.NewReader(good), "gzip", 0, "gzip")
	f("unknown encoding", 400, "source=x", strings.NewReader(good), "br", 0, "br")
	f("unknown format", 400, "source=x&format=csv", strings.NewReader(good), "", 0, "csv", "nginx")
	f("bad source", 400, "source=a/b", strings.NewReader(good), "", 0, "source")
	f("bad JSON line", 200, "source=x", strings.NewReader(good+`{"message":`+"\n"+good), "", 2, `"line":2`)
	f("only bad lines", 400, "source=x&format=json", strings.NewReader("nope\n"), "", 0, "1")
	f("invalid UTF-8", 200, "source=x", strings.NewReader(good+"bad \xff\xfe line\n"+good), "", 2, `"line":2`, "UTF-8")
	f("NUL bytes", 200, "source=x", strings.NewReader("a line with \x00 inside\n"), "", 1)
	f("a 50 MB line", 200, "source=x", io.MultiReader(strings.NewReader(good), strings.NewReader(strings.Repeat("x", 50<<20)+"\n"), strings.NewReader(good)), "", 2, `"line":2`, "262144")
	f("empty body", 200, "source=x", strings.NewReader(""), "", 0, `"accepted":0`)
	in.drain(stored)
	if got := in.sql("SELECT count(*) FROM events")[0][0]; got != fmt.Sprint(stored) {
		t.Errorf("%s rows, want %d", got, stored)
	}
	if got := in.sql(`SELECT message FROM events WHERE message LIKE '%NUL%' OR message LIKE 'a line with%'`); len(got) != 1 || got[0][0] != "a line with \x00 inside" {
		t.Errorf("NUL line: %q", got)
	}
	if code, text := in.call(http.MethodPost, "/ingest?source=x", strings.NewReader(good), http.Header{"X-Millrace-Key": {"wrong"}}, nil); code != 401 {
		t.Errorf("wrong key: %d %s", code, text)
	}
	if code, text := in.call(http.MethodPost, "/ingest?source=x", strings.NewReader(good), http.Header{"X-Millrace-Client": {"client-abc"}, "X-Millrace-Seq": {"-4"}}, nil); code != 400 {
		t.Errorf("bad sequence: %d %s", code, text)
	}
}

// zeros is an endless stream of one byte.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// TestZipBomb: two gigabytes in two megabytes are refused at the limit, without
// the memory.
func TestZipBomb(t *testing.T) {
	in := spawn(t, t.TempDir(), "", "")
	for _, encoding := range []string{"gzip", "zstd"} {
		r, w := io.Pipe()
		go func() {
			var z io.WriteCloser = gzip.NewWriter(w)
			if encoding == "zstd" {
				z, _ = zstd.NewWriter(w)
			}
			_, err := io.Copy(z, io.LimitReader(zeros{}, 2<<30))
			if err == nil {
				err = z.Close()
			}
			w.CloseWithError(err)
		}()
		code, text := in.send("source=bomb", r, encoding)
		r.Close()
		if code != http.StatusRequestEntityTooLarge || !strings.Contains(text, "64MiB") {
			t.Errorf("%s: %d %s", encoding, code, text)
		}
	}
	if peak := peakMemory(t, in.cmd.Process.Pid); peak > 600<<20 {
		t.Errorf("peak memory %d MiB", peak>>20)
	}
}

// peakMemory is VmHWM of a process.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// TestAbsurdTimes: times of 1970 and 2400 and of 5,000 different days are stored
// as they are (2400 lies ahead and is set to arrival), and found again.
func TestAbsurdTimes(t *testing.T) {
	in := boot(t, "", "")
	var b strings.Builder
	begin := time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)
	for day := range 5000 {
		at := begin.AddDate(0, 0, 3*day)
		fmt.Fprintf(&b, `{"time":%q,"url":"/x","status":200,"rt":0.1,"client_ip":"10.0.0.1"}`+"\n", at.Format(time.RFC3339))
	}
	b.WriteString(`{"time":"2400-01-01T00:00:00Z","message":"from the future"}` + "\n")
	b.WriteString(`{"time":"1677-01-01T00:00:00Z","message":"before time"}` + "\n")
	n := in.post("source=absurd", b.String())
	in.drain(n)
	if n != 5002 {
		t.Errorf("%d accepted, want 5002", n)
	}
	row := in.sql(`SELECT count(DISTINCT bucket), sum(pv) FROM rollup_traffic WHERE granularity = '1d' AND dimension_set = ''`)[0]
	if row[0] != "5000" || row[1] != "5000" {
		t.Errorf("days and views %v, want 5000 of each", row)
	}
	row = in.sql(`SELECT attrs->>'time_original', time > now() - INTERVAL 1 HOUR FROM events WHERE message = 'from the future'`)[0]
	if !strings.HasPrefix(row[0], "2400-01-01") || row[1] != "true" {
		t.Errorf("the line from the future: %v", row)
	}
}

// TestSecondServer: a second server on the same directory says so and leaves the
// first alone.
func TestSecondServer(t *testing.T) {
	in := spawn(t, t.TempDir(), "", "")
	second, err := trySpawn(t, in.data, "", "")
	if err == nil {
		t.Fatal("a second server started")
	}
	if got := second.logs.String(); !strings.Contains(got, in.data) {
		t.Errorf("the message does not name the directory: %s", got)
	}
	in.drain(in.post("source=x", "still alive\n"))
}

// TestReadOnlyDirectory: a data directory that cannot be written is named.
func TestReadOnlyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o400); err != nil { // root may write anywhere, but not below a file
		t.Fatal(err)
	}
	in, err := trySpawn(t, filepath.Join(dir, "data"), "", "")
	if err == nil {
		t.Fatal("started without a data directory")
	}
	if got := in.logs.String(); !strings.Contains(got, dir) || !strings.Contains(got, "hint:") {
		t.Errorf("message: %s", got)
	}
}

// TestPoisonousRecord: a line that makes the decoder panic is set aside and
// shown, and all others are stored.
func TestPoisonousRecord(t *testing.T) {
	in := spawn(t, t.TempDir(), "", "decode.poison=panic:1+")
	n := in.post("source=x", "before\nthis is a millrace-poison-pill\nafter\n")
	in.drain(n)
	if got := in.sql("SELECT message FROM events ORDER BY message"); len(got) != 2 || got[0][0] != "after" {
		t.Errorf("stored %v", got)
	}
	if _, text := in.call(http.MethodGet, "/api/v1/set-aside", nil, nil, nil); !strings.Contains(text, "poison-pill") {
		t.Errorf("set aside: %s", text)
	}
	if got := in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE reason = 'set_aside' GROUP BY 1"); got["events"] != "1" || got["rollup"] != "1" {
		t.Errorf("ledger: %v", got)
	}
}

// TestKeysElsewhere: any address but loopback requires keys, and the admin token
// is printed once.
func TestKeysElsewhere(t *testing.T) {
	dir := t.TempDir()
	in := boot(t, dir, "auth: {require: always}\n")
	_, token, ok := strings.Cut(in.logs.String(), "admin token, shown only now: ")
	if !ok {
		t.Fatalf("no token in %s", in.logs)
	}
	token, _, _ = strings.Cut(token, "\n")
	as := func(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }
	if code, _ := in.call(http.MethodPost, "/ingest?source=x", strings.NewReader("line\n"), nil, nil); code != 401 {
		t.Errorf("without a key: %d", code)
	}
	if code, _ := in.call(http.MethodGet, "/api/v1/ledger", nil, nil, nil); code != 401 {
		t.Errorf("API without a token: %d", code)
	}
	var key struct {
		Secret string `json:"key"`
	}
	code, text := in.call(http.MethodPost, "/api/v1/keys", strings.NewReader(`{"name":"shipper","scope":"ingest"}`), as(token), &key)
	if code/100 != 2 || key.Secret == "" {
		t.Fatalf("create key: %d %s", code, text)
	}
	if code, text := in.call(http.MethodPost, "/ingest?source=x", strings.NewReader("line\n"), as(key.Secret), nil); code != 200 {
		t.Errorf("with the key: %d %s", code, text)
	}
	if code, _ := in.call(http.MethodGet, "/api/v1/ledger", nil, as(key.Secret), nil); code != 403 {
		t.Errorf("API with an ingest key: %d", code)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	if again := boot(t, dir, "auth: {require: always}\n"); strings.Contains(again.logs.String(), "admin token") {
		t.Error("the token was printed again")
	}
}
