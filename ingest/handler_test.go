package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// fixture is a handler over a queue that keeps copies of what it is given.
type fixture struct {
	*Handler
	mu       sync.Mutex
	records  []millrace.Record
	err      error // of Append
	pressure error
	denied   error
	now      time.Time
	rules    map[string]int64 // by PROJECT/SOURCE
}

func setup(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	o := DefaultOptions()
	for _, c := range change {
		c(&o)
	}
	var v millrace.Violations
	if o.Validate("ingest", &v); v.Err() != nil {
		t.Fatal(v.Err())
	}
	f := &fixture{now: time.Unix(1_700_000_000, 0)}
	f.Handler = New(o, Deps{
		Append:   f.append,
		Pressure: func() error { return f.pressure },
		Authorize: func(*http.Request, millrace.Scope) (*auth.Principal, error) {
			return &auth.Principal{}, f.denied
		},
		Rules: func(project, source string) int64 { return f.rules[project+"/"+source] },
		Now:   func() time.Time { return f.now },
	})
	t.Cleanup(func() {
		if used := f.mem.used.Load(); used != 0 {
			t.Errorf("%d bytes of the budget were not given back", used)
		}
	})
	return f
}

// change sets options while requests may be under way, as a reload does.
func (f *fixture) change(do func(*Options)) {
	o := *f.opts.Load()
	do(&o)
	f.SetOptions(o)
}

func (f *fixture) append(_ context.Context, recs []*millrace.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	for _, r := range recs {
		c := *r
		c.Payload = bytes.Clone(r.Payload)
		c.Frames = append([]uint32(nil), r.Frames...)
		f.records = append(f.records, c)
	}
	return nil
}

// do makes a request; header are pairs.
func (f *fixture) do(method, target string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// take returns the payloads appended since the last call.
func (f *fixture) take() []millrace.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	recs := f.records
	f.records = nil
	return recs
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstded(t testing.TB, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func want(t *testing.T, w *httptest.ResponseRecorder, status int, contains ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d %s, want %d", w.Code, w.Body, status)
	}
	for _, c := range contains {
		if !strings.Contains(w.Body.String(), c) {
			t.Errorf("answer %s lacks %q", w.Body, c)
		}
	}
}

func TestPost(t *testing.T) {
	f := setup(t)
	body := []byte("{\"a\":1}\n\n{\"b\":\n{\"c\":3}")
	for encoding, sent := range map[string][]byte{
		"": body, "identity": body, "gzip": gzipped(t, body), "zstd": zstded(t, body),
	} {
		w := f.do("POST", "/ingest?source=shop&format=json&service=web&host=h1&env=prod&release=1.2", sent,
			"Content-Encoding", encoding, "X-Millrace-Client", "client-0001", "X-Millrace-Seq", "0")
		want(t, w, 200, `"accepted":2`, `"line":3`, `"reason":"bad_json"`, `"rejected_total":1`)
		recs := f.take()
		if len(recs) != 1 {
			t.Fatalf("%q: %d records", encoding, len(recs))
		}
		r := recs[0]
		got := fmt.Sprintf("%q %v %s %s %s %s %s %s %s %s %s %d/%d %d %v", r.Payload, r.Frames, r.Project, r.Source, r.Format,
			r.Service, r.Host, r.Env, r.Release, r.Sender, r.Client, r.Part, r.Parts, r.Seq, r.Refused)
		const expect = `"{\"a\":1}\n{\"c\":3}" [8 7] default shop json web h1 prod 1.2 192.0.2.1 client-0001 0/1 0 [{bad_json 1 {"b":` + "\n}]"
		if got != expect {
			t.Errorf("%q:\n got %s\nwant %s", encoding, got, expect)
		}
	}
}

func TestEmptyBodies(t *testing.T) {
	f := setup(t)
	for _, encoding := range []string{"", "gzip", "zstd"} {
		want(t, f.do("POST", "/ingest", nil, "Content-Encoding", encoding), 200, `{"accepted":0,"rejected":[]}`)
	}
	want(t, f.do("POST", "/ingest", []byte("\n \n\r\n")), 200, `"accepted":0`)
	want(t, f.do("POST", "/ingest", gzipped(t, nil), "Content-Encoding", "gzip"), 200, `"accepted":0`)
	if recs := f.take(); len(recs) != 0 {
		t.Errorf("%d records of nothing", len(recs))
	}
}

func TestRefusals(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxBody, o.MaxCompressed = 1<<20, 1<<20 })
	line := []byte("hello\n")
	big := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16+1)
	g := gzipped(t, big[:1<<19])
	f1 := func(status int, contains, target string, body []byte, header ...string) {
		t.Helper()
		want(t, f.do("POST", target, body, header...), status, contains, `"code"`)
		if recs := f.take(); len(recs) != 0 {
			t.Errorf("%s: %d records were stored", target, len(recs))
		}
	}
	f1(400, "known are auto", "/ingest?format=nonsense", line)
	f1(400, "source", "/ingest?source=a%20b", line)
	f1(400, "service", "/ingest?service=a%00b", line)
	f1(400, "host", "/ingest?host="+strings.Repeat("x", 300), line)
	f1(400, "project", "/ingest?project=%2F", line)
	f1(400, "query string", "/ingest?a=%zz", line)
	f1(400, "is not supported", "/ingest", line, "Content-Encoding", "compress")
	f1(400, "is damaged after", "/ingest", bytes.Repeat(line, 9), "Content-Encoding", "gzip")
	f1(400, "is damaged after", "/ingest", bytes.Repeat(line, 9), "Content-Encoding", "zstd")
	f1(400, "nothing of this request was stored", "/ingest", g[:len(g)/2], "Content-Encoding", "gzip")
	f1(400, "is truncated after", "/ingest", g[:5], "Content-Encoding", "gzip")
	f1(400, "is truncated after", "/ingest", zstded(t, big[:1<<19])[:50], "Content-Encoding", "zstd")
	f1(400, "is damaged after", "/ingest", append(gzipped(t, line), "garbage garbage garbage"...), "Content-Encoding", "gzip")
	f1(413, "limit of 1MiB after decompression", "/ingest", big)
	f1(413, "limit of 1MiB after decompression", "/ingest", gzipped(t, big), "Content-Encoding", "gzip")
	f1(413, "limit of 1MiB after decompression", "/ingest", zstded(t, big), "Content-Encoding", "zstd")
	f.change(func(o *Options) { o.MaxLines = 1000 })
	f1(413, "limit of 1000 (ingest.max_lines)", "/ingest", big[:16*1001])
	f1(413, "limit of 1000 (ingest.max_lines)", "/ingest", gzipped(t, big[:16*1001]), "Content-Encoding", "gzip")
	want(t, f.do("POST", "/ingest", big[:16*1000]), 200, `"accepted":1000`)
	f.take()
	f.change(func(o *Options) { o.MaxLines = 1_000_000 })
	f1(413, "zstd window", "/ingest", zstded(t, bytes.Repeat(big, 20), zstd.WithWindowSize(16<<20)), "Content-Encoding", "zstd")
	f1(400, "X-Millrace-Client", "/ingest", line, "X-Millrace-Client", "short", "X-Millrace-Seq", "0")
	f1(400, "X-Millrace-Client", "/ingest", line, "X-Millrace-Seq", "0")
	f1(400, "X-Millrace-Seq", "/ingest", line, "X-Millrace-Client", "client-0001")
	f1(400, "X-Millrace-Seq", "/ingest", line, "X-Millrace-Client", "client-0001", "X-Millrace-Seq", "-1")
	f1(400, "none of the 2 lines", "/ingest?format=json", []byte("x\ny\n"))
	f.pressure = millrace.Errorf(millrace.ErrThrottled, "the queue is full")
	f1(429, "the queue is full", "/ingest", line)
	f.pressure = nil
	f.denied = millrace.Errorf(millrace.ErrUnauthorized, "the key is not valid")
	f1(401, "the key is not valid", "/ingest", line)
	f.denied = nil
	f.err = millrace.Errorf(millrace.ErrUnavailable, "the disk is full")
	f1(503, "the disk is full", "/ingest", line)
	f.err = nil
	want(t, f.do("POST", "/ingest", big[:1<<20]), 200, `"accepted":65536`) // exactly the limit
}

func TestLimitsOfMemory(t *testing.T) {
	f := setup(t)
	f.mem.limit.Store(100 << 10)
	want(t, f.do("POST", "/ingest", bytes.Repeat([]byte(strings.Repeat("x", 1023)+"\n"), 60)), 200)
	want(t, f.do("POST", "/ingest", bytes.Repeat([]byte("x\n"), 5<<10)), 429) // its lines are too many
	w := f.do("POST", "/ingest", bytes.Repeat([]byte(strings.Repeat("x", 1023)+"\n"), 100))
	want(t, w, 429, "ingest.memory")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestLongLine(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxLine = 1024 })
	body := []byte("before\n" + strings.Repeat("x", 5<<20) + "\nafter\n" + strings.Repeat("y", 1024) + "\n" + strings.Repeat("z", 1025))
	w := f.do("POST", "/ingest?format=line", gzipped(t, body), "Content-Encoding", "gzip")
	want(t, w, 200, `"accepted":3`, `{"line":2,"error":"5242880 bytes, the limit is 1024","reason":"line_too_long"}`, `{"line":5,"error":"1025 bytes, the limit is 1024"`)
	r := f.take()[0]
	if string(r.Payload) != "before\nafter\n"+strings.Repeat("y", 1024)+"\n" {
		t.Errorf("payload of %d bytes", len(r.Payload))
	}
	if len(r.Refused) != 1 || r.Refused[0].Events != 2 || len(r.Refused[0].Example) > millrace.MaxExample {
		t.Errorf("refused %v", r.Refused)
	}
}

func TestSplit(t *testing.T) {
	f := setup(t)
	var body bytes.Buffer
	for i := 0; body.Len() < 5<<20; i++ {
		fmt.Fprintf(&body, "%d %s\n", i, strings.Repeat("x", i*7919%200_000))
	}
	head := []string{"X-Millrace-Client", "client-0001", "X-Millrace-Seq", "7"}
	var first []millrace.Record
	for _, b := range [][]byte{body.Bytes(), append([]byte("\n{\"broken\":\n"), body.Bytes()...)} {
		want(t, f.do("POST", "/ingest", b, head...), 200)
		recs := f.take()
		var all []byte
		for i, r := range recs {
			sum := 0
			for _, n := range r.Frames {
				if !bytes.HasSuffix(r.Payload[sum:sum+int(n)], []byte("\n")) {
					t.Fatal("a frame does not end at a line's end")
				}
				sum += int(n)
			}
			if sum != len(r.Payload) || sum > maxRecord || int(r.Part) != i || int(r.Parts) != len(recs) || r.Seq != 7 {
				t.Errorf("part %d of %d: %d of %d bytes in frames", r.Part, r.Parts, sum, len(r.Payload))
			}
			if last := i == len(recs)-1; (len(r.Refused) > 0) != (last && first != nil) {
				t.Errorf("part %d: refused %v", i, r.Refused)
			}
			all = append(all, r.Payload...)
		}
		if !bytes.Equal(all, body.Bytes()) {
			t.Error("payloads are not the body")
		}
		if first == nil {
			first = recs
		} else if len(first) != len(recs) {
			t.Error("what is refused changes the split")
		}
	}
}

func TestSequences(t *testing.T) {
	f := setup(t)
	f.SeedClients(map[string]int64{"client-0001": 5000})
	f1 := func(client, seq string, status int) {
		t.Helper()
		want(t, f.do("POST", "/ingest", []byte("x\n"), "X-Millrace-Client", client, "X-Millrace-Seq", seq), status)
	}
	f1("client-0001", "3976", 409)
	f1("client-0001", "3977", 200)
	f1("client-0001", "5001", 200)
	f1("client-0001", "3977", 409)
	f1("client-0002", "0", 200)
	f1("client-0002", "1024", 200)
	f1("client-0002", "0", 409)
	// A request under way must not be overtaken by more than the window.
	release, err := f.seqs.admit("client-0003", 10)
	if err != nil {
		t.Fatal(err)
	}
	f1("client-0003", "1033", 200)
	f1("client-0003", "1034", 409)
	release()
	f1("client-0003", "1034", 200)
	f.take()
}

func TestSequencesAreBounded(t *testing.T) {
	var s sequences
	keep, err := s.admit("keep", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxClients + 10 {
		release, err := s.admit(fmt.Sprint(i), 0)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if len(s.byClient) != maxClients || s.recent.Len() != maxClients || s.byClient["keep"] == nil {
		t.Errorf("%d clients in a list of %d", len(s.byClient), s.recent.Len())
	}
	keep()
}

func TestTally(t *testing.T) {
	f := setup(t)
	for range 3 {
		f.do("POST", "/ingest?source=a&format=nonsense", []byte("x"))
	}
	f.do("POST", "/ingest?source=b&format=json", []byte("x\ny\n[\n"))
	f.denied = millrace.Errorf(millrace.ErrUnauthorized, "the key is not valid")
	f.do("POST", "/ingest?source=c", []byte("x"))
	f.denied = nil
	// While the queue takes nothing the counts are kept.
	f.err = millrace.Errorf(millrace.ErrUnavailable, "down")
	if err := f.Flush(t.Context()); millrace.ErrorCode(err) != millrace.ErrUnavailable {
		t.Errorf("Flush: %v", err)
	}
	f.err = nil
	f.pressure = millrace.Errorf(millrace.ErrThrottled, "full")
	if err := f.Flush(t.Context()); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Errorf("Flush: %v", err)
	}
	f.pressure = nil
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range f.take() {
		if len(r.Frames) != 0 || len(r.Payload) != 0 || r.Parts != 1 || r.Client != "" {
			t.Errorf("record %+v", r)
		}
		for _, x := range r.Refused {
			got = append(got, fmt.Sprintf("%s/%s %s %d", r.Project, r.Source, x.Reason, x.Events))
		}
	}
	const expect = "default/(unknown) request_unauthorized 1; default/a request_invalid 3; default/b bad_json 3"
	if s := strings.Join(got, "; "); s != expect {
		t.Errorf("got %s\nwant %s", s, expect)
	}
}

func TestTallyIsBounded(t *testing.T) {
	var tl tally
	for i := range 3 * maxTally {
		tl.add("p", fmt.Sprint(i), millrace.Refusal{Reason: "r", Events: 1})
	}
	total, other := int64(0), int64(0)
	for k, r := range tl.counts {
		total += r.Events
		if k.source == otherSource {
			other = r.Events
		}
	}
	if total != 3*maxTally || other != 2*maxTally || len(tl.counts) > maxTally+1 {
		t.Errorf("%d accounts, %d counted, %d of them as other", len(tl.counts), total, other)
	}
}

func TestFlushOnTick(t *testing.T) {
	tick, appended := make(chan time.Time), make(chan []*millrace.Record, 1)
	h := New(DefaultOptions(), Deps{
		Append:    func(_ context.Context, recs []*millrace.Record) error { appended <- recs; return nil },
		Authorize: func(*http.Request, millrace.Scope) (*auth.Principal, error) { return &auth.Principal{}, nil },
		Now:       time.Now, Tick: tick,
	})
	h.tally.add("p", "s", millrace.Refusal{Reason: "r", Events: 1})
	tick <- time.Time{}
	if recs := <-appended; len(recs) != 1 {
		t.Errorf("%d records", len(recs))
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBeacon(t *testing.T) {
	f := setup(t)
	f1 := func(target, accept string, status int, payload string) {
		t.Helper()
		w := f.do("GET", target, nil, "Accept", accept)
		want(t, w, status)
		recs := f.take()
		if payload == "" {
			if len(recs) != 0 {
				t.Errorf("%s: stored %q", target, recs[0].Payload)
			}
			return
		}
		if len(recs) != 1 || string(recs[0].Payload) != payload+"\n" || recs[0].Format != "json" || recs[0].Source != "shop" {
			t.Errorf("%s: got %+v, want %s", target, recs, payload)
		}
		if isGIF := w.Header().Get("Content-Type") == "image/gif"; isGIF != (accept != "") || (isGIF && w.Body.String() != gif) {
			t.Errorf("%s: answered %v %q", target, w.Header(), w.Body)
		}
	}
	f1("/ingest?source=shop&path=/cart&rt=0.25&ok=true&zip=007&q=%22a%0Ab%22", "", 204, `{"ok":true,"path":"/cart","q":"\"a\nb\"","rt":0.25,"zip":"007"}`)
	f1("/ingest?source=shop&n=1&n=2&service=web", "image/webp,*/*", 200, `{"n":1}`)
	f1("/ingest?source=shop", "", 400, "")
	f1("/ingest?source=a%20b&x=1", "", 400, "")
	f1("/ingest?source=shop&x="+strings.Repeat("y", 300_000), "", 400, "")
	want(t, f.do("DELETE", "/ingest", nil), 405)
	if w := f.do("OPTIONS", "/ingest", nil, "Origin", "https://shop.example"); w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://shop.example" {
		t.Errorf("preflight %d %v", w.Code, w.Header())
	}
}

func TestSender(t *testing.T) {
	f := func(forwarded bool, header, want string) {
		t.Helper()
		r := httptest.NewRequest("POST", "/", nil)
		if header != "" {
			r.Header.Set("X-Forwarded-For", header)
		}
		if got := sender(r, forwarded); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
	f(false, "1.2.3.4", "192.0.2.1")
	f(true, "", "192.0.2.1")
	f(true, "1.2.3.4, 5.6.7.8", "5.6.7.8")
	f(true, "nonsense", "192.0.2.1")
	f(true, "2001:db8::1", "2001:db8::1")
}

func TestRejectedListIsBounded(t *testing.T) {
	f := setup(t)
	w := f.do("POST", "/ingest?format=json", []byte("{}\n"+strings.Repeat("x\n", 5000)))
	var got struct {
		Accepted      int
		Rejected      []rejectedLine
		RejectedTotal int `json:"rejected_total"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Accepted != 1 || len(got.Rejected) != 100 || got.RejectedTotal != 5000 {
		t.Errorf("accepted %d, %d of %d rejected", got.Accepted, len(got.Rejected), got.RejectedTotal)
	}
}
