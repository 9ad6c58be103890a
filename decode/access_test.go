package decode

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

func readShared(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(testdata.Shared(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func nasaLog(t testing.TB) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(readShared(t, "access-logs", "nasa-http", "nasa_jul95_lines_1-40000.log.gz")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// accessRE reads an access line independently of the parser: greedy, so that
// the request may hold anything.
var accessRE = regexp.MustCompile(`^(\S+) \S+ \S+ \[([^\]]+)\] "(.*?)" (\d{3}) (\d+|-)(?: "|$)`)

// wantURL splits a request as a person would.
func wantURL(req string) (method, path, query string) {
	f := strings.Split(req, " ")
	if len(f) < 2 {
		return "", "", ""
	}
	method = f[0]
	f = f[1:]
	if strings.HasPrefix(f[len(f)-1], "HTTP/") {
		f = f[:len(f)-1]
	}
	path = strings.TrimSpace(strings.Join(f, " "))
	if rest, ok := strings.CutPrefix(path, "http://"); ok {
		path = "/"
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			path = rest[i:]
		}
	}
	path, query, _ = strings.Cut(path, "?")
	return method, path, query
}

// checkAccess compares every line of a file with the regular expression.
func checkAccess(t *testing.T, format string, body []byte) {
	t.Helper()
	b := decodeAll(t, format, body)
	lines := strings.Split(strings.TrimRight(string(body), "\n"), "\n")
	if len(b.Events) != len(lines) || len(b.Rejects) != 0 {
		t.Fatalf("%d lines gave %d events, %d rejects", len(lines), len(b.Events), len(b.Rejects))
	}
	bad := 0
	for i, line := range lines {
		e := &b.Events[i]
		m := accessRE.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line %d does not match: %s", i+1, line)
		}
		method, path, query := wantURL(m[3])
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
		if err != nil {
			t.Fatal(err)
		}
		size := m[5]
		if size == "-" {
			size = ""
		}
		ok := e.Kind == millrace.KindAccess && e.Time == at.UnixNano() && e.HasTime && e.Message == line &&
			attr(e, "client_ip") == m[1] && attr(e, "method") == method && attr(e, "url") == path &&
			attr(e, "query") == query && attr(e, "status") == m[4] && attr(e, "bytes") == size
		if !ok {
			if bad++; bad < 10 {
				t.Errorf("line %d: %s\n got %s %s?%s %s %s at %s", i+1, line, attr(e, "method"), attr(e, "url"),
					attr(e, "query"), attr(e, "status"), attr(e, "bytes"), time.Unix(0, e.Time).UTC())
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d lines differ", bad, len(lines))
	}
}

func TestAccessNASA(t *testing.T) {
	for _, format := range []string{"auto", "apache", "nginx"} {
		checkAccess(t, format, nasaLog(t))
	}
}

func TestAccessElastic(t *testing.T) {
	checkAccess(t, "auto", readShared(t, "access-logs", "elastic-apache", "apache_logs.log"))
}

func TestAccessHackers(t *testing.T) {
	checkAccess(t, "auto", readShared(t, "access-logs", "nielsbasjes-logparser", "hackers-access.log"))
}

// TestAccessFilebeat compares with what filebeat's modules expect. Deviations:
// url.path there is percent-decoded, so url.original is compared; "-" as user
// or referrer is absent here; a vhost that is an address is a host here, and
// filebeat drops it; the remaining ones are in the list below.
func TestAccessFilebeat(t *testing.T) {
	deviations := map[string]string{
		// filebeat keeps the whole list as source address of Apache lines.
	}
	n := 0
	for _, glob := range []string{"apache/access/*.log", "nginx/access/*.log", "nginx/ingress_controller/*.log"} {
		files, _ := filepath.Glob(filepath.Join(testdata.Shared(t, "access-logs", "filebeat-modules"), glob))
		if len(files) == 0 {
			t.Fatalf("no files match %s", glob)
		}
		for _, name := range files {
			n += compareFilebeat(t, name, deviations)
		}
	}
	if n < 70 {
		t.Errorf("only %d lines compared", n)
	}
}

func compareFilebeat(t *testing.T, name string, deviations map[string]string) int {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name + "-expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	b := decodeAll(t, "auto", body)
	if len(b.Events) != len(want) {
		t.Fatalf("%s: %d events, want %d", name, len(b.Events), len(want))
	}
	for i, w := range want {
		e := &b.Events[i]
		f := func(field, got string) {
			t.Helper()
			s := ""
			switch v := w[field].(type) {
			case string:
				s = v
			case float64:
				s = strconv.FormatFloat(v, 'f', -1, 64)
			}
			if s == "-" {
				s = ""
			}
			if s != got && deviations[field+" "+got] == "" {
				t.Errorf("%s line %d: %s: got %q, want %q\n%s", filepath.Base(name), i+1, field, got, s, e.Message)
			}
		}
		url := attr(e, "url")
		if q := attr(e, "query"); q != "" {
			url += "?" + q
		}
		if e.Kind != millrace.KindAccess {
			t.Errorf("%s line %d is of kind %s", name, i+1, e.Kind)
		}
		f("@timestamp", time.Unix(0, e.Time).UTC().Format("2006-01-02T15:04:05.000Z"))
		f("http.request.method", attr(e, "method"))
		f("http.response.status_code", attr(e, "status"))
		f("http.response.body.bytes", attr(e, "bytes"))
		f("http.version", attr(e, "http_version"))
		f("http.request.referrer", attr(e, "referer"))
		f("user_agent.original", attr(e, "user_agent"))
		f("url.original", url)
		f("user.name", attr(e, "user"))
		if w["source.address"] != nil {
			f("source.address", attr(e, "client_ip"))
		} else {
			f("source.ip", attr(e, "client_ip"))
		}
		if w["destination.domain"] != nil {
			f("destination.domain", e.Host)
		}
		f("nginx.ingress_controller.http.request.time", trimZeros(attr(e, "rt"), w["nginx.ingress_controller.http.request.time"]))
		f("nginx.ingress_controller.upstream.response.time", trimZeros(attr(e, "rt_backend"), w["nginx.ingress_controller.upstream.response.time"]))
		f("nginx.ingress_controller.http.request.id", attr(e, "request_id"))
		f("nginx.ingress_controller.upstream.name", attr(e, "upstream"))
	}
	return len(want)
}

// trimZeros formats a literal as the expectation is formatted.
func trimZeros(s string, want any) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || want == nil {
		return ""
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
