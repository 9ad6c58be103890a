package pipeline

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/transform"
)

// through sends one body through the worker and returns the events.
func through(t *testing.T, d *decoding, format, rules, body string) []millrace.Event {
	t.Helper()
	u := &unit{rec: recordOf(t, format, body)}
	if rules != "" {
		var err error
		if u.rules, err = transform.Load([]byte(rules), transform.Options{HashKey: []byte("a key of the tests")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := decodeUnit(d, u); err != nil || len(u.batch.Rejects) > 0 {
		t.Fatal(err, u.batch.Rejects)
	}
	return u.batch.Events
}

// recordOf frames a body as ingest does.
func recordOf(t testing.TB, format, body string) *millrace.Record {
	t.Helper()
	rec := &millrace.Record{Format: format, Source: "test", Arrived: 1_800_000_000_000_000_000}
	if decode.Structured(format) {
		var p decode.Pieces
		if err := decode.Split(format, nil, []byte(body), decode.Limits{}, &p); err != nil || len(p.Refused) > 0 {
			t.Fatal(err, p.Refused)
		}
		for i := range p.Events {
			n := len(rec.Payload)
			rec.Payload = decode.AppendPiece(rec.Payload, 0, &p.Events[i])
			rec.Frames = append(rec.Frames, uint32(len(rec.Payload)-n))
		}
		return rec
	}
	var f decode.Framing
	if err := decode.Frame(format, []byte(body), decode.Limits{}, &f); err != nil || len(f.Refused) > 0 {
		t.Fatal(err, f.Refused)
	}
	for _, e := range f.Events {
		rec.Payload = append(rec.Payload, body[e.Start:e.End]...)
		rec.Frames = append(rec.Frames, uint32(e.End-e.Start))
	}
	return rec
}

// said is everything that an event says.
func said(e *millrace.Event) string {
	return strings.Join([]string{e.Message, e.Host, e.Service, e.TraceID, string(millrace.AppendAttrs(nil, e.Attrs))}, "\n")
}

const hiddenTrace = "shop.LostException: card 4929 1234 5678 9012 of jane@example.com,\n next line pin:\n 9911\n" +
	"\tat shop.Orders.find(Orders.java:42)\n\tat shop.Main.main(Main.java:7)\nCaused by: java.sql.SQLException: jane@example.com is gone\n\t... 2 more\n"

// What masks and truncation hide of an event does not come back in what was read
// of its exception, whatever a mask hides it by and wherever it stands.
func TestHiddenStaysHidden(t *testing.T) {
	long := strings.Repeat("x", 8<<10-12) + " jane@example.com and more"
	json := func(s string) string { return string(millrace.AppendJSONString(nil, s)) }
	for _, c := range []struct {
		name, format, rules, body string
		truncate                  bool
		hidden                    []string
		kept                      string
	}{
		{"by pattern, over lines", "text", `masks: [{fields: ["*"], replace: {pattern: 'pin:\s+\d+|\S+@\S+', with: "-"}}]`, hiddenTrace, false, []string{"9911", "jane"}, "Orders.java"},
		{"the message", "text", "masks: [{fields: [message], drop: true}]", hiddenTrace, false, []string{"4929", "jane", "9911", "Orders.java"}, "shop.LostException"},
		{"a message cut off", "text", "masks: [{fields: [message], truncate: 20}]", hiddenTrace, false, []string{"1234", "jane", "9911"}, ""},
		{"the stack", "json", "masks: [{fields: [stack_trace], drop: true, only_here: true}]", `{"message":"m","stack_trace":` + json(hiddenTrace) + `}`, false, nil, "Orders.java"},
		{"the stack everywhere", "json", "masks: [{fields: [stack_trace], hash: {length: 8}}]", `{"message":"m","stack_trace":` + json(hiddenTrace) + `}`, false, []string{"4929", "jane", "9911", "Orders.java"}, ""},
		{"a field that stands in the stack", "json", "masks: [{fields: [mail], hash: {length: 8}}]", `{"mail":"jane@example.com","message":"m","stack_trace":` + json(hiddenTrace) + `}`, false, []string{"jane"}, "Orders.java"},
		{"the user", "json", "masks: [{fields: [user.id], hash: {length: 8}, only_here: true}]", `{"user.id":"u7","message":"m","stack_trace":` + json(hiddenTrace) + `}`, false, []string{"u7"}, "Orders.java"},
		{"where a message is cut", "json", `masks: [{fields: [mail], drop: true}]`, `{"mail":"jane@example.com","message":"m","stack_trace":` + json("shop.LostException: "+long+"\n\tat a.B.c(B.java:1)\n") + `}`, false, []string{"jane"}, "B.java"},
		{"data, over lines", "sentry-event", `masks: [{fields: ["*"], replace: {pattern: 'pin:\s+\d+', with: "-"}}]`, `{"exception":{"values":[{"type":"E","value":"my pin:\n 9911","stacktrace":{"frames":[{"function":"f"}]}}]}}`, false, []string{"9911"}, `"f"`},
		{"data, where it is cut", "sentry-event", "masks: [{fields: [tags.mail], drop: true}]", `{"tags":{"mail":"jane@example.com"},"exception":{"values":[{"type":"E","value":` + json(long) + `,"stacktrace":{"frames":[{"function":"f"}]}}]}}`, false, []string{"jane"}, `"f"`},
		{"addresses", "json", "", `{"client_ip":"198.51.100.234","message":"m","stack_trace":"a.BadAddress: 198.51.100.234 no\n\tat a.B.c(B.java:1)\n"}`, true, []string{"198.51.100.234"}, `"user":"198.51.100.0"`},
		{"addresses where a message is cut", "sentry-event", "", `{"user":{"ip_address":"198.51.100.234"},"exception":{"values":[{"type":"E","value":` + json(strings.Repeat("x", 8<<10-13)+" 198.51.100.234") + `}]}}`, true, []string{"198.51.100.23"}, `"user":"198.51.100.0"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &decoding{exceptions: exceptions{version: 2}}
			if c.truncate {
				d.addresses = &addresses{}
			}
			for range 3 { // the third time it is remembered
				e := through(t, d, c.format, c.rules, c.body)[0]
				all := said(&e)
				for _, h := range c.hidden {
					if strings.Contains(all, h) {
						t.Errorf("%q is told: %.2000s", h, all)
					}
				}
				if e.Kind != millrace.KindException || attrOf(&e, millrace.AttrFingerprint) == "" || !strings.Contains(all, c.kept) || strings.Contains(all, attrHidden) {
					t.Errorf("%s, %.2000s", e.Kind, all)
				}
				if v, ok := e.Attr(millrace.AttrReport); ok {
					if r, err := exception.ParseReport([]byte(v.String())); err != nil || len(r.Exception.Message) > 8<<10 {
						t.Errorf("report of %d bytes: %v", len(v.String()), err)
					}
				}
				if len(attrOf(&e, attrMessage)) > 8<<10 {
					t.Error("the message is not cut")
				}
			}
		})
	}
}

// Masks that touch nothing of an exception leave it as it is.
func TestMasksElsewhere(t *testing.T) {
	body := `{"mail":"bob@example.com","message":"m","stack_trace":` + string(millrace.AppendJSONString(nil, hiddenTrace)) + `}`
	var d decoding
	a := said(&through(t, &d, "json", "", body)[0])
	b := said(&through(t, &d, "json", "masks: [{fields: [mail], drop: true}]", body)[0])
	if a = strings.Replace(a, `"mail":"bob@example.com",`, "", 1); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func attrOf(e *millrace.Event, key string) string {
	v, _ := e.Attr(key)
	return v.String()
}
