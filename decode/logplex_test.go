package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

func init() {
	structuredSeeds["logplex"] = append(structuredSeeds["logplex"], logplexSample, octets("<190>1 2026-01-02T03:04:05Z host app web.1 - ", "<1", "x", `<158>1 - d.1 heroku router - at=info status=200 path=/ service=99999999999ms connect=-1ms`),
		"83 <40>1 2012-11-30T06:45:29+00:00 host app web.3 - cut", "12", "99999999999999999999 x", "3  \n ", "5 \xff\xfe<1>")
}

// logplexSample is that of Heroku's documentation, with its lengths.
const logplexSample = "83 <40>1 2012-11-30T06:45:29+00:00 host app web.3 - State changed from starting to up\n" +
	"119 <40>1 2012-11-30T06:45:26+00:00 host app web.3 - Starting process with command `bundle exec rackup config.ru -p 24405`\n"

// octets frames messages as a log drain does.
func octets(messages ...string) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "%d %s\n", len(m)+1, m)
	}
	return b.String()
}

func TestLogplexSample(t *testing.T) {
	events := piecesEvents(t, "logplex", []byte(`{"drain_token":"d.1","frame_id":"f","count":2}`), []byte(logplexSample))
	want := []string{
		`log 1354257929000000000 service=src host=web.3 env= release= level= trace= attrs={"facility":"syslog","app":"app","procid":"web.3","drain_token":"d.1"}: State changed from starting to up`,
		"log 1354257926000000000 service=src host=web.3 env= release= level= trace= attrs={\"facility\":\"syslog\",\"app\":\"app\",\"procid\":\"web.3\",\"drain_token\":\"d.1\"}: Starting process with command `bundle exec rackup config.ru -p 24405`",
	}
	for i := range want {
		if got := eventLine(&events[i]); got != want[i] {
			t.Errorf("\n got %s\nwant %s", got, want[i])
		}
	}
}

func TestLogplexEvents(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{
			"<158>1 2026-01-02T03:04:05.5+00:00 host heroku router - at=info method=GET path=\"/a?b=c\" host=shop.example request_id=8601b555 fwd=\"204.204.204.204, 10.1.1.1\" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=https",
			`access 1767323045500000000 service=src host=shop.example env= release= level=info trace= attrs={"at":"info","method":"GET","url":"/a","request_id":"8601b555","fwd":"204.204.204.204, 10.1.1.1","dyno":"web.1","connect":"1ms","service":"18ms","status":200,"bytes":13,"http_version":"https","query":"b=c","facility":"local3","rt":0.019,"rt_backend":0.018,"client_ip":"204.204.204.204","app":"heroku","procid":"router","drain_token":"d.1"}: at=info method=GET path="/a?b=c" host=shop.example request_id=8601b555 fwd="204.204.204.204, 10.1.1.1" dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=https`,
		},
		{
			`<158>1 2026-01-02T03:04:05Z d.1 heroku router - at=error code=H12 desc="Request timeout" method=GET path=/ host=shop.example fwd=17.17.17.17 dyno=web.1 connect=6ms service=30001ms status=503 bytes=0`,
			`access 1767323045000000000 service=src host=shop.example env= release= level=error trace= attrs={"at":"error","code":"H12","desc":"Request timeout","method":"GET","url":"/","fwd":"17.17.17.17","dyno":"web.1","connect":"6ms","service":"30001ms","status":503,"bytes":0,"facility":"local3","rt":30.007,"rt_backend":30.001,"client_ip":"17.17.17.17","app":"heroku","procid":"router","drain_token":"d.1"}: at=error code=H12 desc="Request timeout" method=GET path=/ host=shop.example fwd=17.17.17.17 dyno=web.1 connect=6ms service=30001ms status=503 bytes=0`,
		},
		{ // a message may begin with what would be structured data
			`<190>1 2026-01-02T03:04:05Z host app worker.2 - [notice] started`,
			`log 1767323045000000000 service=src host=worker.2 env= release= level=info trace= attrs={"facility":"local7","app":"app","procid":"worker.2","drain_token":"d.1","level_original":"notice"}: [notice] started`,
		},
		{
			`<190>1 2026-01-02T03:04:05Z myhost billing run.3 m1 {"level":"error","msg":"no","drain_token":"own"}`,
			`log 1767323045000000000 service=billing host=run.3 env= release= level=error trace= attrs={"drain_token":"own","facility":"local7","msgid":"m1","app":"billing","procid":"run.3","hostname":"myhost"}: no`,
		},
		{
			"no header at all",
			`log 0 service=src host=10.9.8.7 env= release= level= trace= attrs={"drain_token":"d.1"}: no header at all`,
		},
	} {
		e := piecesEvents(t, "logplex", []byte(`{"drain_token":"d.1"}`), []byte(octets(c.line)))[0]
		if !e.HasTime {
			e.Time = 0
		}
		got := eventLine(&e)
		if got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

// The ID of an event is that of its frame and place, known again from the record,
// and two frames have none in common.
func TestLogplexIDs(t *testing.T) {
	seen := map[[16]byte]bool{}
	body := []byte(octets("<190>1 - - - - - same", "<190>1 - - - - - same", "", "<190>1 - - - - - same"))
	for _, extra := range []string{`{"drain_token":"a","frame_id":"1"}`, `{"drain_token":"a","frame_id":"2"}`, `{"drain_token":"b","frame_id":"1"}`} {
		var p Pieces
		if err := Split("logplex", []byte(extra), body, Limits{}, &p); err != nil || len(p.Events) != 3 || len(p.Refused) != 1 {
			t.Fatal(err, p)
		}
		i := 0
		IDs(pieceRecord("logplex", &p), func(id [16]byte) {
			if id != p.Events[i].ID || id == ([16]byte{}) || seen[id] {
				t.Errorf("%s: event %d has ID %x, or has been seen", extra, i, id)
			}
			seen[id] = true
			i++
		})
		if i != 3 {
			t.Errorf("%d IDs", i)
		}
	}
	var p Pieces
	if err := Split("logplex", nil, body, Limits{}, &p); err != nil || p.Events[0].ID != ([16]byte{}) {
		t.Error(err, p.Events[0].ID)
	}
	IDs(pieceRecord("logplex", &p), func(id [16]byte) { t.Errorf("ID %x without a frame", id) })
}

func TestLogplexRefused(t *testing.T) {
	good := "<190>1 - - - - - good"
	for name, c := range map[string]struct {
		body, reason string
		good         int
	}{
		"length":  {octets(good) + "x 12", ReasonBadFrameLength, 1},
		"cut off": {octets(good) + "30 <190>1 - - - - - go", ReasonBadFrameLength, 1},
		"zero":    {octets(good) + "0 " + octets(good), ReasonBadFrameLength, 1},
		"huge":    {octets(good) + "99999999999999999999999 a", ReasonBadFrameLength, 1},
		"blank":   {octets(good, "  ", good), ReasonEmpty, 2},
		"UTF-8":   {octets(good, "<190>1 - - - - - \xff", good), ReasonBadUTF8, 2},
		"large":   {octets(good, strings.Repeat("x", 1<<20+1), good), ReasonTooLarge, 2},
	} {
		var p Pieces
		if err := Split("logplex", nil, []byte(c.body), Limits{}, &p); err != nil {
			t.Fatal(name, err)
		}
		if len(p.Events) != c.good || len(p.Refused) != 1 || p.Refused[0].Reason != c.reason || p.Refused[0].Detail == "" {
			t.Errorf("%s: %d good, %+v", name, len(p.Events), p.Refused)
		}
	}
	var p Pieces
	if err := Split("logplex", []byte(`{"count":5}`), []byte(octets(good, good)), Limits{}, &p); err != nil || len(p.Skipped) != 1 ||
		p.Skipped[0].Reason != ReasonMsgCountMismatch || p.Skipped[0].Events != 3 {
		t.Errorf("%v %+v", err, p.Skipped)
	}
	if err := Split("logplex", nil, []byte(octets(good, good)), Limits{MaxEvents: 1}, &p); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Error(err)
	}
}

func FuzzLogplex(f *testing.F) {
	for _, s := range structuredSeeds["logplex"] {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, named bool) {
		var extra []byte
		if named {
			extra = []byte(`{"drain_token":"d","frame_id":"f"}`)
		}
		checkStructured(t, "logplex", extra, body)
	})
}

func logplexBench(n int) []byte {
	lines := make([]string, n)
	for i := range lines {
		if i%2 == 0 {
			lines[i] = fmt.Sprintf(`<158>1 2026-01-02T03:04:05.%06d+00:00 host heroku router - at=info method=GET path="/cart/%d" host=shop.herokuapp.com request_id=8601b555-6a83 fwd="204.204.204.%d" dyno=web.1 connect=1ms service=%dms status=200 bytes=%d protocol=https`, i, i, i%256, i%300, i*7)
		} else {
			lines[i] = fmt.Sprintf("<190>1 2026-01-02T03:04:05.%06d+00:00 host app web.%d - order %d accepted", i, i%4, i)
		}
	}
	return []byte(octets(lines...))
}

func BenchmarkLogplex(b *testing.B) { benchStructured(b, "logplex", logplexBench(1000), 1000) }

func TestLogplexAllocs(t *testing.T) {
	structuredAllocs(t, "logplex", logplexBench(1000), 30)
}
