package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// canned answers requests with fixed documents and remembers the last one.
type canned struct {
	*httptest.Server
	answers map[string]string // by method and path
	asked   string            // method, path and query, body
	token   string
}

func newCanned(t *testing.T, answers map[string]string) *canned {
	t.Helper()
	c := &canned{answers: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.asked = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
		c.token = r.Header.Get("Authorization")
		text, ok := c.answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			text = `{"title":"Bad Request","status":400,"detail":"no such thing","code":"invalid"}`
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(c.Close)
	return c
}

// run runs a command line against the canned server.
func (c *canned) run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	m := &Main{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: io.Discard, Now: time.Now}
	if err := m.ParseFlags(append(args, "--server", c.URL, "--token", "mr_read_x")); err != nil {
		return out.String(), err
	}
	err := m.Run(t.Context())
	return out.String(), err
}

func TestQuestions(t *testing.T) {
	c := newCanned(t, map[string]string{
		"POST /api/v1/sql":            `{"columns":["url","n","x"],"rows":[["/a",12,null],["/\u001b[31mlong",3,{"b":1,"a":[2]}]]}` + "\n",
		"GET /api/v1/rollups/traffic": `{"complete_until":"2026-05-20T12:00:00Z","source":"1m","columns":["service","pv"],"rows":[["api",1.50],["web",20]]}` + "\n",
		"GET /api/v1/rollups": `{"rollups":[{"name":"traffic","where":"","dimensions":["url"],"sets":[{"dimensions":[],"granularities":["1m","1h"]},{"dimensions":["url"],"granularities":["1d"]}],
			"metrics":[{"name":"pv","function":"count","field":""},{"name":"rt","function":"quantiles","field":"rt"}]}]}`,
		"GET /api/v1/logs": `{"events":[
			{"time":"2026-05-20T12:00:02Z","source":"s","service":"api","level":"error","message":"boom\u0007\n\tat main.go"},
			{"time":"2026-05-20T12:00:01Z","source":"s","service":"","level":"","message":"hello"}],"next":""}`,
		"GET /api/v1/ledger": `{"balanced":true,"accounts":[{"sink":"events","project":"default","source":"web","received":{"events":10,"weight":10},"stored":{"events":9,"weight":9},
			"sampled":{"events":0,"weight":0},"filtered":{"events":0,"weight":0},"duplicate":{"events":0,"weight":0},"rejected":{"events":1,"weight":1},"refused":{"events":0,"weight":0},
			"difference":{"events":0,"weight":0},"reasons":[{"outcome":"rejected","reason":"bad_json","events":1,"weight":1,"example":"{oops"}]}],
			"folded":[{"where":"traffic.url","weight":1203,"hint":"more values"}]}`,
	})
	f := func(want, asked, stdin string, args ...string) {
		t.Helper()
		got, err := c.run(t, stdin, args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if got != strings.TrimPrefix(want, "\n") {
			t.Errorf("%v\n got\n%s\nwant\n%s", args, got, want)
		}
		if asked != "" && c.asked != asked {
			t.Errorf("%v asked\n     %s\nwant %s", args, c.asked, asked)
		}
	}
	f(`
url          n  x
----------  --  ---------------
/a          12  -
/·[31mlong   3  {"a":[2],"b":1}
(2 rows)
`, `POST /api/v1/sql {"sql":"select 1"}`, "", "sql", "select 1")
	f(`{"columns":["url","n","x"],"rows":[["/a",12,null],["/\u001b[31mlong",3,{"b":1,"a":[2]}]]}`+"\n",
		`POST /api/v1/sql {"sql":"select 2\n"}`, "select 2\n", "sql", "--json")
	f(`
service    pv
-------  ----
api      1.50
web        20
(2 rows)
`, "GET /api/v1/rollups/traffic?by=service&from=-6h&limit=5&metrics=pv%2Crt_p95&order=-pv&step=5m&to=now&where=status%3E%3D500", "",
		"rollup", "traffic", "--metrics", "pv,rt_p95", "--by", "service", "--from=-6h", "--limit=5", "--order=-pv", "--step=5m", "--where", "status>=500")
	f(`
rollup   set    granularities  metrics
-------  -----  -------------  ---------------------------
traffic  ()     1m 1h          pv=count() rt=quantiles(rt)
         (url)  1d
(2 rows)
`, "", "", "rollup")
	f(`
2026-05-20T12:00:01.000Z  s             -      hello
2026-05-20T12:00:02.000Z  api           error  boom· …
`, "GET /api/v1/logs?from=-1h&limit=100&q=level%3Aerror+boom&to=now", "", "search", "level:error", "boom")
	f(`
2026-05-20T12:00:01.000Z  s             -      hello
2026-05-20T12:00:02.000Z  api           error  boom·
    at main.go
`, "", "", "search", "--full")
	f(`
project  source  sink    received  stored  sampled  filtered  duplicate  rejected  refused  check
-------  ------  ------  --------  ------  -------  --------  ---------  --------  -------  -----
default  web     events        10       9        0         0          0         1        0     ok
(1 row)

project  source  sink    outcome   reason    events  example
-------  ------  ------  --------  --------  ------  -------
default  web     events  rejected  bad_json       1  {oops
(1 row)

counted under (other)  weight  why
---------------------  ------  -----------
traffic.url              1203  more values
(1 row)
`, "GET /api/v1/ledger?from=-1d&source=web", "", "ledger", "--from=-1d", "--source", "web")
	if c.token != "Bearer mr_read_x" {
		t.Errorf("token %q", c.token)
	}
}

func TestQuestionsRefused(t *testing.T) {
	c := newCanned(t, map[string]string{"GET /api/v1/ledger": `{"balanced":false,"accounts":[]}`})
	f := func(code millrace.Code, want string, args ...string) {
		t.Helper()
		_, err := c.run(t, "", args...)
		if millrace.ErrorCode(err) != code || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s %s", args, err, code, want)
		}
	}
	f(millrace.ErrInvalid, "no such thing", "sql", "select 1")
	f(millrace.ErrInvalid, "no such thing", "rollup", "nope")
	f(millrace.ErrInvalid, "at least 1", "search", "--limit=0")
	f(millrace.ErrCorrupt, "does not add up", "ledger")
}

func TestClip(t *testing.T) {
	if got := clip(strings.Repeat("ü", maxCell+5)); got != strings.Repeat("ü", maxCell)+"…" {
		t.Errorf("clipped to %q", got)
	}
	if got := clip("short"); got != "short" {
		t.Errorf("%q", got)
	}
}
