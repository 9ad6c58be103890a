package ingest

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

func TestCut(t *testing.T) {
	h := New(DefaultOptions(), Deps{Rules: func(_, source string) int64 { return int64(len(source)) }})
	f := func(format, text string, events []int, refused int64) {
		t.Helper()
		recs, err := h.Cut("app", format, "kafka", []byte(text))
		if err != nil {
			t.Error(err)
			return
		}
		var got []int
		var lost int64
		for i, r := range recs {
			if r.Source != "app" || r.Project != millrace.DefaultProject || r.Rules != 3 || r.Sender != "kafka" || r.Format != format {
				t.Errorf("%q: %+v", text, r)
			}
			if int(r.Part) != i || int(r.Parts) != len(recs) {
				t.Errorf("%q: part %d of %d", text, r.Part, r.Parts)
			}
			got = append(got, len(r.Frames))
			for _, x := range r.Refused {
				lost += x.Events
			}
		}
		if len(got) != len(events) || lost != refused {
			t.Errorf("%.40q: events per record %v, refused %d", text, got, lost)
			return
		}
		for i := range got {
			if got[i] != events[i] {
				t.Errorf("%.40q: events per record %v, want %v", text, got, events)
			}
		}
	}
	f("json", `{"a":1}`, []int{1}, 0)
	f("json", "{\"a\":1}\n{\"a\":2}\n", []int{2}, 0)
	f("json", "{\"a\":1}\n{\"a\n", []int{1}, 1)
	f("json", "\xff\xfe", []int{0}, 1)
	f("json", "", nil, 0)
	f("json", "\n \n", nil, 0)
	line := strings.Repeat("x", 200<<10) + "\n"
	f("line", strings.Repeat(line, 8), []int{5, 3}, 0)
	f("line", strings.Repeat("x", 300<<10), []int{0}, 1)
	if err := CheckSource("app.logs-1", "json"); err != nil {
		t.Error(err)
	}
	if err := CheckSource("a b", "json"); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Error(err)
	}
	if err := CheckSource("app", "jsonl"); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Error(err)
	}
}
