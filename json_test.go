package millrace

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestAppendJSONString puts every byte at every place of texts around the sizes
// at which the fast path changes its stride.
func TestAppendJSONString(t *testing.T) {
	for n := range 27 {
		for at := range n {
			for c := range 256 {
				s := []byte(strings.Repeat("a~ z", 7)[:n])
				s[at] = byte(c)
				checkJSONString(t, string(s))
			}
		}
	}
	for _, s := range []string{"", "grüße", "\u2028 日本語", "a\xff\xfe\"b", "\xed\xa0\x80", strings.Repeat("é", 9)} {
		checkJSONString(t, s)
	}
}

func FuzzAppendJSONString(f *testing.F) {
	f.Add("plain text of some length")
	f.Add("a \"quote\", a \\ and \x00\x1f\x7f")
	f.Add("\xff\xc3\x28日本")
	f.Fuzz(func(t *testing.T, s string) { checkJSONString(t, s) })
}

func checkJSONString(t *testing.T, s string) {
	t.Helper()
	const before = "before"
	out := AppendJSONString([]byte(before), s)
	if !strings.HasPrefix(string(out), before) || !utf8.Valid(out) {
		t.Fatalf("%q became %q", s, out)
	}
	if slow := appendEscaped([]byte(before), s); string(slow) != string(out) {
		t.Fatalf("%q became %q, byte by byte %q", s, out, slow)
	}
	var back string
	if err := json.Unmarshal(out[len(before):], &back); err != nil {
		t.Fatalf("%q became %q: %v", s, out, err)
	}
	if utf8.ValidString(s) && back != s {
		t.Fatalf("%q became %q, read as %q", s, out, back)
	}
}

func TestAppendAttrsIntegers(t *testing.T) {
	for _, i := range []int64{0, 7, 10, 200, 65_535, 99_999_999, 100_000_000, 1<<63 - 1, -1, -200} {
		got := string(AppendAttrs(nil, []Attr{{Key: "n", Value: IntValue(i)}}))
		if want := fmt.Sprintf(`{"n":%d}`, i); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
