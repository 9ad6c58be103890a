package decode

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

func TestFrame(t *testing.T) {
	// want has one entry per event (its text) or refused line ("!line reason: detail").
	f := func(format, body string, want ...string) {
		t.Helper()
		var fr Framing
		if err := Frame(format, []byte(body), Limits{MaxLine: 60, MaxEvent: 100}, &fr); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range fr.Events {
			got = append(got, body[s.Start:s.End])
			if n := 1 + strings.Count(body[:s.Start], "\n"); n != s.Line {
				t.Errorf("%q: event at line %d says line %d", body, n, s.Line)
			}
		}
		for _, r := range fr.Refused {
			got = append(got, fmt.Sprintf("!%d %s: %s", r.Line, r.Reason, r.Detail))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s %q:\n got %q\nwant %q", format, body, got, want)
		}
	}
	f("auto", "")
	f("auto", "\n \n\t\r\n")
	f("auto", "a", "a")
	f("line", "a\n\nb\r\n  c", "a\n", "b\r\n", "  c")
	f("line", "\xEF\xBB\xBFa\nb\n", "a\n", "b\n")
	f("line", "a\x00b\n", "a\x00b\n")
	f("line", "ok\n\xff\xfe\nok2\n", "ok\n", "ok2\n", "!2 bad_utf8: column 1: invalid UTF-8")
	f("line", "ab\xc3\n", "!1 bad_utf8: column 3: invalid UTF-8")
	f("line", strings.Repeat("x", 60)+"\n"+strings.Repeat("y", 61)+"\nz",
		strings.Repeat("x", 60)+"\n", "z", "!2 line_too_long: 61 bytes, the limit is 60")
	f("json", "{\"a\":1}\n{}\n", "{\"a\":1}\n", "{}\n")
	f("json", "{\"a\":1\n[1]\ntext\n{\"a\":1}}\n",
		"!1 bad_json: column 7: the JSON object ends too early", "!2 bad_json: column 1: not a JSON object",
		"!3 bad_json: column 1: not a JSON object", "!4 bad_json: column 8: unexpected '}'")
	f("json", "{\"a\":\"\\x22\"}\n", `!1 bad_json: column 8: \x is no JSON escape (nginx: use "escape=json" in log_format)`)
	f("json", "{\"a\":\"\t\"}\n", "!1 bad_json: column 7: control character 0x09 must be escaped")
	// In auto only what is plainly meant as JSON must be JSON.
	f("auto", "{\"a\":1\n{ x }\n{1}\n{ \"a\": 1 }\n", "{ x }\n", "{1}\n", "{ \"a\": 1 }\n",
		"!1 bad_json: column 7: the JSON object ends too early")
	// An object may go on over several lines, but a cut-off one ends with its line.
	f("json", "{\"a\": [\n1,\n2\n] }\n{\"b\":1}\n", "{\"a\": [\n1,\n2\n] }\n", "{\"b\":1}\n")
	f("auto", "{\"a\":\n{\"b\":1}\n}\nx\n", "{\"a\":\n{\"b\":1}\n}\n", "x\n")
	f("auto", "{\"a\":[1,\nx\n{\"b\":1}", "x\n", "{\"b\":1}", "!1 bad_json: column 9: the JSON object ends too early")
	f("auto", "{\"a\":\"cut\n{\"b\":1}\n", "{\"b\":1}\n", "!1 bad_json: column 10: the JSON object ends too early")
	f("auto", "2026-01-02 10:00:00 ERROR x\njava.lang.Error: y\n\tat a.b(C.java:1)\n2026-01-02 10:00:01 INFO z\n",
		"2026-01-02 10:00:00 ERROR x\njava.lang.Error: y\n\tat a.b(C.java:1)\n", "2026-01-02 10:00:01 INFO z\n")
	f("line", "x\n\tat a.b(C.java:1)\n", "x\n", "\tat a.b(C.java:1)\n")
	// An event beyond MaxEvent goes on as another; nothing is lost.
	long := "\tat " + strings.Repeat("a", 40) + "(C.java:1)\n"
	f("auto", "java.lang.Error: y\n"+long+long, "java.lang.Error: y\n"+long, long)
	// A refused line ends the event before it.
	f("auto", "java.lang.Error: y\n\tat a.b(C.java:1)\n\xff\n\tat a.b(C.java:2)\n",
		"java.lang.Error: y\n\tat a.b(C.java:1)\n", "\tat a.b(C.java:2)\n", "!3 bad_utf8: column 1: invalid UTF-8")
}

func TestFrameDefaults(t *testing.T) {
	var fr Framing
	line := strings.Repeat("x", int(DefaultMaxLine))
	if err := Frame("", []byte(line+"\n"+line+"x\n"), Limits{}, &fr); err != nil {
		t.Fatal(err)
	}
	if len(fr.Events) != 1 || len(fr.Refused) != 1 || fr.Refused[0].Reason != ReasonLineTooLong {
		t.Errorf("%d events, refused %v", len(fr.Events), fr.Refused)
	}
}

func TestFrameUnknownFormat(t *testing.T) {
	fr := Framing{Events: make([]Span, 3)}
	err := Frame("cobol", []byte("x"), Limits{}, &fr)
	if millrace.ErrorCode(err) != millrace.ErrInvalid || len(fr.Events) != 0 {
		t.Fatalf("%v, %d events", err, len(fr.Events))
	}
	want := `format "cobol" is unknown; known are auto, nginx, apache, json, logfmt, syslog, text, line, `
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want %q", err, want)
	}
}

// FuzzFrame checks the promises of Frame for any body and format.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a\n\nb\xff\n{\"a\":1}\n{\"b\"\n\tat x\n"), uint8(0))
	for i, line := range samples {
		f.Add([]byte(line+"\n\tat a.b(C.java:1)\n\n"+line), uint8(len(i)))
	}
	f.Fuzz(func(t *testing.T, body []byte, n uint8) {
		format := Formats()[int(n)%len(formats)]
		var fr, again Framing
		lim := Limits{MaxLine: 200, MaxEvent: 300}
		if err := Frame(format, body, lim, &fr); err != nil {
			t.Fatal(err)
		}
		end := 0
		for _, s := range fr.Events {
			if s.Start < end || s.End <= s.Start || s.End > len(body) || blank(body[s.Start:s.End]) {
				t.Fatalf("bad span %+v after %d", s, end)
			}
			if s.Start > 0 && body[s.Start-1] != '\n' && s.Start != len(bom) {
				t.Fatalf("span %+v starts inside a line", s)
			}
			if text := body[s.Start:s.End]; !utf8.Valid(text) || len(text) > 302 {
				t.Fatalf("bad event %q", text)
			}
			end = s.End
		}
		lines := 0
		for i, l := range strings.Split(string(body), "\n") {
			if i == 0 {
				l = strings.TrimPrefix(l, string(bom))
			}
			if !blank(trimCR([]byte(l))) {
				lines++
			}
		}
		covered := len(fr.Refused)
		for _, s := range fr.Events {
			for _, l := range strings.Split(string(body[s.Start:s.End]), "\n") {
				if !blank(trimCR([]byte(l))) {
					covered++
				}
			}
		}
		if covered != lines {
			t.Fatalf("%d lines, %d in events or refused", lines, covered)
		}
		// Framing is deterministic, and stable over what it framed.
		if err := Frame(format, body, lim, &again); err != nil || fmt.Sprint(again.Events) != fmt.Sprint(fr.Events) {
			t.Fatal("not deterministic")
		}
		decodeAll(t, format, body)
	})
}

// TestFrameHostile: bodies made to search for ends that never come are framed
// in time.
func TestFrameHostile(t *testing.T) {
	for _, line := range []string{`{"a":[`, `{"a":[{},`, `{"a":[{}`, `{"`, "{\"a\":\n", `{"a":[` + "\n1,\n1,"} {
		body := []byte(strings.Repeat(line+"\n", (1<<20)/len(line)))
		start := time.Now()
		var fr Framing
		if err := Frame("json", body, Limits{}, &fr); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%q took %s", line, d)
		}
	}
}
