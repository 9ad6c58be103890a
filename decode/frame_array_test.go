package decode

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// frameArray frames a body and returns "good events; refused elements".
func frameArray(t *testing.T, format, body string, lim Limits) (good []string, refused string) {
	t.Helper()
	var f Framing
	if err := Frame(format, []byte(body), lim, &f); err != nil {
		return nil, string(millrace.ErrorCode(err))
	}
	for _, e := range f.Events {
		good = append(good, body[e.Start:e.End])
	}
	for _, r := range f.Refused {
		refused += fmt.Sprintf("%d:%s ", r.Line, r.Reason)
		if r.Detail == "" {
			t.Errorf("%s: no detail", body)
		}
	}
	return good, strings.TrimSpace(refused)
}

func TestFrameArray(t *testing.T) {
	for _, c := range []struct{ format, body, good, refused string }{
		{"auto", `[{"a":1},{"b":2}]`, `{"a":1}|{"b":2}`, ""},
		{"json", " \n[ {\"a\":[1,{\"x\":\"}]\"}]}\n,\n{}\t] \r\n", `{"a":[1,{"x":"}]"}]}|{}`, ""},
		{"json", `[{"a":1}]` + "\n" + `[{"b":2},{"c":3}]`, `{"a":1}|{"b":2}|{"c":3}`, ""},
		{"auto", "\xEF\xBB\xBF[{\"a\":1}]", `{"a":1}`, ""},
		{"auto", `[{"a":1},7,"x",{"b":2}]`, `{"a":1}|{"b":2}`, "2:bad_json 3:bad_json"},
		{"auto", `[{"a":1},{"b":`, `{"a":1}`, "2:bad_json"},
		{"auto", `[{"a":1},{"b":"x`, `{"a":1}`, "2:bad_json"},
		{"auto", `[{"a":1},`, `{"a":1}`, "2:bad_json"},
		{"auto", `[{"a":1}`, `{"a":1}`, "2:bad_json"},
		{"json", `[{"a":1},{"b":x},{"c":3}]`, `{"a":1}`, "2:bad_json"},
		{"json", `[{"a":1} {"b":2}]`, `{"a":1}`, "2:bad_json"},
		{"json", `[{"a":1}] x`, `{"a":1}`, "2:bad_json"},
		{"auto", "[{\"a\":\"\xff\"},{\"b\":2}]", `{"b":2}`, "1:bad_utf8"},
		{"auto", `[{"a":"` + strings.Repeat("x", 1000) + `"},{"b":2}]`, `{"b":2}`, "1:line_too_long"},
		// What is a text is read as one.
		{"auto", "[{\"a\":1}] processed\nsecond\n", "[{\"a\":1}] processed\n|second\n", ""},
		{"auto", "[{\"a\":1}]\nsecond\n", "[{\"a\":1}]\n|second\n", ""},
		{"auto", "[2026-01-02 03:04:05] {\"a\":1}\n", "[2026-01-02 03:04:05] {\"a\":1}\n", ""},
		{"auto", "[{supervisor,{a}}]\n", "[{supervisor,{a}}]\n", ""},
		{"auto", "[1,2]\n", "[1,2]\n", ""},
		{"text", `[{"a":1}]`, `[{"a":1}]`, ""},
		{"json", `[1,2]`, ``, "1:bad_json"},
		{"json", `[]`, ``, "1:bad_json"},
	} {
		good, refused := frameArray(t, c.format, c.body, Limits{MaxLine: 999})
		if got := strings.Join(good, "|"); got != c.good || refused != c.refused {
			t.Errorf("%s %.60q:\n got %q, refused %q\nwant %q, %q", c.format, c.body, got, refused, c.good, c.refused)
		}
	}
	if _, code := frameArray(t, "json", `[{},{},{}]`, Limits{MaxEvents: 2}); code != string(millrace.ErrTooLarge) {
		t.Error(code)
	}
	if good, refused := frameArray(t, "json", `[{},{}]`, Limits{MaxEvents: 2}); len(good) != 2 || refused != "" {
		t.Error(good, refused)
	}
}

// Any array is framed as its elements, whatever they are; cut off anywhere, the
// elements before the cut are there.
func TestFrameArrayOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	for range 500 {
		var elements []json.RawMessage
		for range 1 + rng.IntN(6) {
			m := map[string]any{}
			for range rng.IntN(4) {
				m[fmt.Sprint("k", rng.IntN(9))] = []any{1.5, "a]}\"\\", nil, map[string]any{"x": []int{1}}, true}[rng.IntN(5)]
			}
			raw, err := json.MarshalIndent(m, "", strings.Repeat(" ", rng.IntN(2)))
			if err != nil {
				t.Fatal(err)
			}
			elements = append(elements, raw)
		}
		var body []byte
		var ends []int
		for i, e := range elements {
			if i == 0 {
				body = append(body, '[')
			} else {
				body = append(body, ',')
			}
			body = append(body, e...)
			ends = append(ends, len(body))
		}
		body = append(body, ']')
		at := 3 + rng.IntN(len(body)-2)
		good, refused := frameArray(t, "json", string(body[:at]), Limits{})
		want := 0
		for _, end := range ends {
			if end <= at {
				want++
			}
		}
		if len(good) != want || (refused != "") != (at < len(body)) {
			t.Fatalf("%s: %d elements, want %d; refused %q", body[:at], len(good), want, refused)
		}
		for i, g := range good {
			if g != string(elements[i]) {
				t.Fatalf("%s: %s", body, g)
			}
		}
	}
}

func TestArrayBody(t *testing.T) {
	for body, want := range map[string]string{
		"": "false false", "[": "false false", " [ { ": "false false", `[{"`: "true true", "[ {}": "true true",
		"[1": "false true", "x": "false true", "[{a": "false true", strings.Repeat(" ", 200): "false true", "\xEF\xBB\xBF[{\"": "true true",
	} {
		array, known := ArrayBody([]byte(body))
		if got := fmt.Sprint(array, " ", known); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}
