package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testdata"
)

// accessRE is the test's own reading of an access line: time, request, status.
// A request may hold anything, quotes included, so the status is what follows
// its last quote that is followed by a number.
var accessRE = regexp.MustCompile(`^(?:\S+:\d+ )?(\S+) \S+ .*?\[([^\]]+)\] "(.*?)" (\d{3}) (?:\d+|-)(?: |$)`)

// requestRE reads a request: a method, a target that may hold blanks, and
// perhaps a protocol.
var requestRE = regexp.MustCompile(`^[A-Z]+ +(.*?) *(?: HTTP/\S+)?$`)

// counts is an independent count of access lines.
type counts struct {
	total                       int
	status, path                map[string]int
	minute, hour, day, clientIP map[string]int
}

func newCounts() *counts {
	return &counts{
		status: map[string]int{}, path: map[string]int{}, clientIP: map[string]int{},
		minute: map[string]int{}, hour: map[string]int{}, day: map[string]int{},
	}
}

func (c *counts) add(t *testing.T, line string) {
	t.Helper()
	m := accessRE.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("the test cannot read %q", line)
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
	if err != nil {
		t.Fatal(err)
	}
	path := "" // of a request that is no method and target, such as "-"
	if r := requestRE.FindStringSubmatch(m[3]); r != nil {
		path, _, _ = strings.Cut(r[1], "?")
	}
	c.total++
	c.status[m[4]]++
	c.path[path]++
	c.clientIP[m[1]]++
	const layout = "2006-01-02T15:04:05Z"
	c.minute[at.UTC().Truncate(time.Minute).Format(layout)]++
	c.hour[at.UTC().Truncate(time.Hour).Format(layout)]++
	c.day[at.UTC().Truncate(24*time.Hour).Format(layout)]++
}

// readLines returns the lines of a file, unpacked if it ends in .gz.
func readLines(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if strings.TrimSpace(sc.Text()) != "" {
			lines = append(lines, sc.Text())
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func equalCounts(t *testing.T, what string, got map[string]string, want map[string]int) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d keys, want %d", what, len(got), len(want))
	}
	bad := 0
	for k, n := range want {
		if got[k] != strconv.Itoa(n) && bad < 5 {
			t.Errorf("%s %q: %s, want %d", what, k, got[k], n)
			bad++
		}
	}
}

// checkTraffic compares all that is known of a source's access lines.
func (in *instance) checkTraffic(c *counts) {
	t := in.t
	t.Helper()
	equalCounts(t, "rows per status", in.sqlMap(`SELECT attrs->>'status', count(*) FROM events WHERE kind = 'access' GROUP BY 1`), c.status)
	equalCounts(t, "rows per path", in.sqlMap(`SELECT coalesce(attrs->>'url', ''), count(*) FROM events WHERE kind = 'access' GROUP BY 1`), c.path)
	pv := func(g string) map[string]string {
		return in.sqlMap(`SELECT strftime(bucket, '%Y-%m-%dT%H:%M:%SZ'), pv FROM rollup_traffic WHERE granularity = '` + g + `' AND dimension_set = ''`)
	}
	equalCounts(t, "pv per minute", pv("1m"), c.minute)
	equalCounts(t, "pv per hour", pv("1h"), c.hour)
	equalCounts(t, "pv per day", pv("1d"), c.day)
	for _, g := range []string{"1m", "1h", "1d"} {
		by := func(dim string) map[string]string {
			return in.sqlMap(fmt.Sprintf(`SELECT %s, sum(pv) FROM rollup_traffic WHERE granularity = '%s' AND dimension_set = '%s' GROUP BY 1`, dim, g, dim))
		}
		equalCounts(t, "pv per status at "+g, by("status"), c.status)
		equalCounts(t, "pv per url at "+g, by("url"), c.path)
	}
}

// TestRealLogs: all lines of the real access logs are stored, and every count
// equals an independent count of the files.
func TestRealLogs(t *testing.T) {
	files := []string{
		testdata.Shared(t, "access-logs/nasa-http/nasa_jul95_lines_1-40000.log.gz"),
		testdata.Shared(t, "access-logs/elastic-apache/apache_logs.log"),
	}
	in := boot(t, "", "")
	c, sent := newCounts(), 0
	for _, file := range files {
		lines := readLines(t, file)
		for _, l := range lines {
			c.add(t, l)
		}
		for len(lines) > 0 {
			n := min(len(lines), 7001)
			sent += in.post("source="+filepath.Base(filepath.Dir(file)), strings.Join(lines[:n], "\n")+"\n")
			lines = lines[n:]
		}
	}
	if c.total != 50_000 || sent != c.total {
		t.Fatalf("%d lines, %d accepted, want 50000", c.total, sent)
	}
	in.drain(sent)
	if got := in.sql("SELECT count(*) FROM events")[0][0]; got != "50000" {
		t.Errorf("%s rows stored, want 50000", got)
	}
	in.checkTraffic(c)
	in.checkUniques(c)
	for key, n := range in.sqlMap("SELECT sink || ' ' || outcome, sum(events) FROM ledger GROUP BY 1") {
		if outcome := strings.Fields(key)[1]; outcome != "received" && outcome != "stored" || n != "50000" {
			t.Errorf("ledger: %s %s", key, n)
		}
	}
}

// checkUniques: visitors per day are within three standard errors of the truth,
// merged by the query planner over all days.
func (in *instance) checkUniques(c *counts) {
	in.t.Helper()
	var answer struct {
		Rows [][]any `json:"rows"`
	}
	_, text := in.call("GET", "/api/v1/rollups/traffic?metrics=pv,uv&from=1995-01-01T00:00:00Z&to=2015-12-31T00:00:00Z", nil, nil, &answer)
	if len(answer.Rows) != 1 {
		in.t.Fatalf("rollup: %s", text)
	}
	row := answer.Rows[0]
	uv, err := strconv.ParseFloat(fmt.Sprint(row[len(row)-1]), 64)
	if want := float64(len(c.clientIP)); err != nil || uv < want*0.95 || uv > want*1.05 {
		in.t.Errorf("%v visitors, want about %v: %s", uv, want, text)
	}
}

// TestFilebeatAccessLogs: the small real logs with unusual lines.
func TestFilebeatAccessLogs(t *testing.T) {
	root := testdata.Shared(t, "access-logs/filebeat-modules")
	var files []string
	for _, pattern := range []string{"nginx/access/*.log", "apache/access/*.log"} {
		m, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	in := boot(t, "", "")
	c, sent := newCounts(), 0
	for _, file := range files {
		if filepath.Base(file) == "ssl-request.log" {
			continue // Apache's ssl_request_log has no status to count by
		}
		lines := readLines(t, file)
		for _, l := range lines {
			c.add(t, l)
		}
		sent += in.post("source=filebeat", strings.Join(lines, "\n")+"\n")
	}
	in.drain(sent)
	in.checkTraffic(c)
}
