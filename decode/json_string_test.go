package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// unescapeSlow is unescape as it was: byte by byte. It is the oracle of the fast one.
func unescapeSlow(dst, body []byte) []byte {
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = body[i+1]
		i += 2
		switch c {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r := hex4(body[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(body) >= i+6 && body[i] == '\\' && body[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(body[i+2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// stringBodies are what is between the quotes of strings, with all escapes at all
// distances from the ends of words.
func stringBodies() []string {
	out := []string{"", "a", `\ud83d\ude00`, `\ud83d`, `\ud83dx`, `\ud83d\u0041`, `\ud83d\ud83d\ude00`, `\ude00\ud83d`, `\ud83d\n`, `\u0000`, `é\u00e9`}
	for _, escape := range []string{`\n`, `\t`, `\r`, `\b`, `\f`, `\/`, `\\`, `\"`, `\u20AC`, `\ud83d\ude00`, `\udfff`, `\n\t`} {
		for n := range 40 {
			plain := strings.Repeat("x", n)
			out = append(out, plain+escape, escape+plain, plain+escape+plain, plain+escape+escape+plain+"é")
		}
	}
	return out
}

// compareUnescape unescapes body at the end of memory of its own, behind text and in
// front of text that must stay.
func compareUnescape(t *testing.T, body string) {
	t.Helper()
	if end, _ := scanString([]byte(body+`"`), 0); end != len(body)+1 {
		t.Skip("no body of a string")
	}
	want := unescapeSlow([]byte("before"), []byte(body))
	memory := bytes.Repeat([]byte("#"), len("before")+len(body)+20)
	copy(memory, "before")
	room := len("before") + len(body)
	got := unescape(memory[:len("before"):room], append(make([]byte, 0, len(body)), body...))
	if !bytes.Equal(got, want) {
		t.Fatalf("%q: got %q, want %q", body, got, want)
	}
	if &got[0] != &memory[0] || strings.Trim(string(memory[room:]), "#") != "" {
		t.Fatalf("%q: written beyond its room: %q", body, memory[room:])
	}
	if got := unescape(nil, []byte(body)); string(got) != string(want[len("before"):]) {
		t.Fatalf("%q: into nothing: %q, want %q", body, got, want[len("before"):])
	}
	var text string
	if err := json.Unmarshal([]byte(`"`+body+`"`), &text); err != nil || utf8.ValidString(body) && text != string(want[len("before"):]) {
		t.Fatalf("%q: got %q, encoding/json %q, %v", body, want, text, err)
	}
}

func TestUnescape(t *testing.T) {
	for _, body := range stringBodies() {
		compareUnescape(t, body)
	}
}

func FuzzUnescape(f *testing.F) {
	for i, body := range stringBodies() {
		if i%37 == 0 {
			f.Add(body)
		}
	}
	f.Fuzz(compareUnescape)
}

// traceBody is a stack trace of so many frames as a JSON string holds it.
func traceBody(frames int) []byte {
	var b strings.Builder
	b.WriteString(`java.lang.IllegalStateException: order {\"sku\":\"A-1\"} not found`)
	for i := range frames {
		fmt.Fprintf(&b, `\n\tat com.example.shop.order.service.OrderProcessing%d.handle(OrderProcessing%d.java:%d)`, i%9, i%9, 100+i)
	}
	return []byte(b.String())
}

func BenchmarkUnescape(b *testing.B) {
	body := traceBody(10)
	buf := make([]byte, 0, len(body))
	for _, c := range []struct {
		name string
		f    func(dst, body []byte) []byte
	}{{"runs", unescape}, {"bytes", unescapeSlow}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				buf = c.f(buf[:0], body)
			}
		})
	}
}
