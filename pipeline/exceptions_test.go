package pipeline

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/transform"
)

// reported decodes an event of Sentry's protocol as the worker does.
func reported(t *testing.T, rules *transform.Program, body string) *millrace.Event {
	t.Helper()
	var p decode.Pieces
	if err := decode.Split("sentry-event", nil, []byte(body), decode.Limits{}, &p); err != nil || len(p.Events) != 1 {
		t.Fatal(err, p.Refused)
	}
	frame := decode.AppendPiece(nil, 0, &p.Events[0])
	u := &unit{rec: &millrace.Record{Format: "sentry-event", Source: "sentry", Arrived: 1_800_000_000_000_000_000, Payload: frame, Frames: []uint32{uint32(len(frame))}}, rules: rules}
	if err := decodeUnit(&decoding{}, u); err != nil || len(u.batch.Events) != 1 {
		t.Fatal(err, u.batch.Rejects)
	}
	return &u.batch.Events[0]
}

// An exception that comes as data is told apart and counted as one read from text.
func TestAnnotateReport(t *testing.T) {
	const body = `{"platform":"java","exception":{"values":[{"type":"SQLException","module":"java.sql","value":"closed 7"},` +
		`{"type":"Lost","module":"shop","value":"order 12","stacktrace":{"frames":[{"module":"shop.Main","function":"main","filename":"Main.java","lineno":7,"in_app":true},` +
		`{"module":"shop.Orders","function":"find","filename":"Orders.java","lineno":42,"in_app":true}]}}]}}`
	e := reported(t, nil, body)
	for key, want := range map[string]string{
		millrace.AttrType: "shop.Lost", "exception_message": "order 12", "cause": "java.sql.SQLException",
		millrace.AttrReport: `{"v":1,"language":"java","exception":{"common":0,"type":"shop.Lost","message":"order 12","frames":[` +
			`{"module":"shop.Orders","function":"find","file":"Orders.java","line":42,"in_app":true},` +
			`{"module":"shop.Main","function":"main","file":"Main.java","line":7,"in_app":true}],` +
			`"cause":{"common":0,"type":"java.sql.SQLException","message":"closed 7"}}}`,
	} {
		if v, _ := e.Attr(key); v.String() != want {
			t.Errorf("%s is %s, want %s", key, v.String(), want)
		}
	}
	if e.Kind != millrace.KindException || e.Report != nil || e.Message != "shop.Lost: order 12" {
		t.Errorf("%s %q, report %v", e.Kind, e.Message, e.Report)
	}
	first, _ := e.Attr(millrace.AttrFingerprint)
	again, _ := reported(t, nil, strings.NewReplacer("order 12", "order 13", "42", "43").Replace(body)).Attr(millrace.AttrFingerprint)
	other, _ := reported(t, nil, strings.Replace(body, "find", "lose", 1)).Attr(millrace.AttrFingerprint)
	if first.String() == "" || again.String() != first.String() || other.String() == first.String() {
		t.Errorf("fingerprints %q, %q and of another error %q", first.String(), again.String(), other.String())
	}
}

// What a rule hides does not come back from the report.
func TestReportIsMasked(t *testing.T) {
	program, err := transform.Load([]byte("masks: [{fields: ['*'], replace: {pattern: 'secret\\w*', with: '---'}}]\n"), transform.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := reported(t, program, `{"exception":{"values":[{"type":"E","value":"secret1","stacktrace":{"frames":[{"function":"secret2","vars":{"x":"secret3"}}]}}]},"tags":{"a":"secret4"}}`)
	if all := e.Message + string(millrace.AppendAttrs(nil, e.Attrs)); strings.Contains(all, "secret") || !strings.Contains(all, "---") {
		t.Errorf("not masked: %s", all)
	}
}
