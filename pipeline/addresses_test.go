package pipeline

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/transform"
)

// truncated decodes lines as the worker does with the option on.
func truncated(t testing.TB, format, sender string, rules *transform.Program, lines ...string) *unit {
	t.Helper()
	rec := &millrace.Record{Project: "default", Source: "s", Format: format, Sender: sender, Arrived: 1_800_000_000_000_000_000}
	for _, l := range lines {
		rec.Frames = append(rec.Frames, uint32(len(l)+1))
		rec.Payload = append(append(rec.Payload, l...), '\n')
	}
	u := &unit{rec: rec, rules: rules}
	d := decoding{addresses: &addresses{}}
	if err := decodeUnit(&d, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTruncateAddresses(t *testing.T) {
	f := func(format, line string, want map[string]string, gone ...string) {
		t.Helper()
		u := truncated(t, format, "203.0.113.77", nil, line)
		if len(u.batch.Events) != 1 {
			t.Fatalf("%s: %d events, %v", line, len(u.batch.Events), u.batch.Rejects)
		}
		e := &u.batch.Events[0]
		for name, w := range want {
			if v, _ := e.Field(name); v.String() != w {
				t.Errorf("%s: %s is %q, want %q", line, name, v.String(), w)
			}
		}
		all := e.Message + " " + e.Host
		for _, a := range e.Attrs {
			all += " " + a.Value.String()
		}
		for _, g := range gone {
			if strings.Contains(all, g) {
				t.Errorf("%s: %s is still in %s", line, g, all)
			}
		}
	}
	f("auto", `198.51.100.23 - - [10/Oct/2026:13:55:36 +0000] "GET /a?from=198.51.100.23 HTTP/1.1" 200 2326 "-" "curl/8.1.2.3"`,
		map[string]string{
			"client_ip": "198.51.100.0", "host": "203.0.113.0", "query": "from=198.51.100.0",
			"message":    `198.51.100.0 - - [10/Oct/2026:13:55:36 +0000] "GET /a?from=198.51.100.0 HTTP/1.1" 200 2326 "-" "curl/8.1.2.3"`,
			"user_agent": "curl/8.1.2.3",
		}, "198.51.100.23", "203.0.113.77")
	f("auto", `2001:db8:1:2:3:4:5:6 - - [10/Oct/2026:13:55:36 +0000] "GET / HTTP/1.1" 200 2326 "-" "x"`,
		map[string]string{"client_ip": "2001:db8:1::"}, "2001:db8:1:2")
	f("json", `{"msg":"login of 198.51.100.23, port 198.51.100.23:443, not 198.51.100.234 or 1.198.51.100.23","X-Forwarded-For":"198.51.100.23, 10.1.2.3:99, unknown","version":"1.2.3.4","host":"10.0.0.9"}`,
		map[string]string{
			"message":         "login of 198.51.100.0, port 198.51.100.0:443, not 198.51.100.234 or 1.198.51.100.23",
			"X-Forwarded-For": "198.51.100.0, 10.1.2.0:99, unknown", "version": "1.2.3.4", "host": "10.0.0.9",
		})
	f("json", `{"user":{"id":7,"ip_address":"198.51.100.23"},"request":{"headers":[["Host","a"],["X-Real-Ip","::ffff:198.51.100.24"],["Via","1.2.3.4"]]},"forwarded":["for=\"[2001:db8:9:8::1]:80\"","5.6.7.8"],"other":{"ip":null,"note":"9.9.9.9"}}`,
		map[string]string{
			"user": `{"id":7,"ip_address":"198.51.100.0"}`, "request": `{"headers":[["Host","a"],["X-Real-Ip","::ffff:198.51.100.0"],["Via","1.2.3.4"]]}`,
			"forwarded": `["for=\"[2001:db8:9::]:80\"","5.6.7.0"]`, "other": `{"ip":null,"note":"9.9.9.9"}`,
		})
	f("json", `{"msg":"m","src_ip":"fe80::1%eth0"}`, map[string]string{"src_ip": "fe80::%eth0"}, "fe80::1")
	f("json", `{"msg":"m","client_ip":"-","remote_addr":"unix:","ip":"12:30:45","src":"abc.def"}`,
		map[string]string{"client_ip": "-", "remote_addr": "unix:", "ip": "12:30:45", "src": "abc.def"})
	f("logfmt", `level=info msg="from 198.51.100.23" remote-addr=198.51.100.23:1234`,
		map[string]string{"message": "from 198.51.100.0", "remote-addr": "198.51.100.0:1234"})
}

// Rules see addresses whole, what they drop or hide stays so, and examples of
// what is refused show no address.
func TestTruncateAddressesAndRules(t *testing.T) {
	rules, err := transform.Parse([]byte("steps:\n  - {name: bots, drop: 'client_ip == \"198.51.100.23\"'}\n"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := transform.Compile(rules, transform.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u := truncated(t, "json", "", program, `{"msg":"drop me 198.51.100.23","client_ip":"198.51.100.23"}`, `{"msg":"keep","client_ip":"198.51.100.24"}`, `{"msg":`)
	if len(u.filtered) != 1 || !strings.Contains(u.filtered[0].example, "198.51.100.0") {
		t.Errorf("filtered %+v", u.filtered)
	}
	if v, _ := u.batch.Events[0].Attr("client_ip"); v.String() != "198.51.100.0" {
		t.Errorf("kept %v", v)
	}
	rec := &millrace.Record{Format: "json", Payload: []byte("{198.51.100.23 x 2001:db8:1:2:3\n"), Frames: []uint32{32}, Refused: []millrace.Refusal{{Reason: "r", Events: 1, Example: "a 198.51.100.23"}}}
	for _, p := range []*transform.Program{nil, program} {
		u := &unit{rec: &millrace.Record{}, rules: p}
		*u.rec = *rec
		d := decoding{addresses: &addresses{}}
		if err := decodeUnit(&d, u); err != nil {
			t.Fatal(err)
		}
		if len(u.batch.Rejects) != 1 || u.batch.Rejects[0].Example != "{198.51.100.0 x " || u.rec.Refused[0].Example != "a 198.51.100.0" {
			t.Errorf("rejects %+v, refused %+v", u.batch.Rejects, u.rec.Refused)
		}
		s := supervisor{now: time.Now, truncate: true}
		if entry := s.entry(u, 0, 0, "why", rec.Payload); strings.Contains(string(entry.Payload), "198") {
			t.Errorf("set aside %q", entry.Payload)
		}
	}
	if rec.Refused[0].Example != "a 198.51.100.23" {
		t.Error("the record was changed, which other sinks read")
	}
}

// Whatever stands around it, an address in a field is truncated, and nothing
// else is changed.
func TestTruncateAddressesRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	a := &addresses{}
	for range 20_000 {
		var text, want strings.Builder
		for range r.IntN(4) {
			before := []string{"", "for=", "[", "\"", " ", "x-", "(", "=", ",", "/"}[r.IntN(10)]
			after := []string{"", "]", "\"", " ", ";p", ")", ",", "/24", "%en0"}[r.IntN(9)]
			addr, network := randomAddress(r)
			if addr.Is4() && r.IntN(3) == 0 {
				after = fmt.Sprintf(":%d ", r.IntN(65536))
			}
			// Two runs must not become one.
			text.WriteString(before + addr.String() + after + " g ")
			want.WriteString(before + network + after + " g ")
		}
		if got := a.value(text.String()); got != want.String() {
			t.Fatalf("%q: %q, want %q", text.String(), got, want.String())
		}
		a.found = a.found[:0]
	}
}

func randomAddress(r *rand.Rand) (addr netip.Addr, network string) {
	if r.IntN(2) == 0 {
		b := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		addr = netip.AddrFrom4(b)
		b[3] = 0
		return addr, netip.AddrFrom4(b).String()
	}
	var b [16]byte
	for i := range b {
		if r.IntN(3) > 0 {
			b[i] = byte(r.Uint32())
		}
	}
	b[0] = 0x20
	addr = netip.AddrFrom16(b)
	clear(b[6:])
	return addr, netip.AddrFrom16(b).String()
}

// The same record gives the same rows, with a fresh state or an old one.
func TestTruncateAddressesTwice(t *testing.T) {
	lines := []string{
		`{"msg":"a 198.51.100.23","client_ip":"198.51.100.23"}`, `{"msg":"b 198.51.100.23"}`, `{"msg":"c","client_ip":"198.51.100.99","x":[1,"198.51.100.99"]}`,
	}
	one := truncated(t, "json", "198.51.100.1", nil, lines...)
	d := decoding{addresses: &addresses{}}
	two := &unit{rec: one.rec}
	for range 3 {
		if err := decodeUnit(&d, two); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := fmt.Sprint(one.batch.Events), fmt.Sprint(two.batch.Events); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	// What names no address is none: the second line says it in its text only.
	if got := one.batch.Events[1].Message; got != "b 198.51.100.23" {
		t.Errorf("message %q", got)
	}
}

func FuzzTruncateAddresses(f *testing.F) {
	f.Add(`{"ip":["1.2.3.4",{"a":"::1"}],"x":"}`)
	f.Add(`"ip":"\"1.2.3.4`)
	f.Add(`[["client_ip","1.2.3.4:5"],["::","1::2:"]]`)
	f.Fuzz(func(t *testing.T, text string) {
		a := &addresses{}
		_ = a.nested(text, len(text)%2 == 0)
		_ = a.example(text)
		once := a.value(text)
		if twice := a.value(once); twice != once {
			t.Errorf("%q becomes %q and then %q", text, once, twice)
		}
	})
}

func BenchmarkTruncateAddresses(b *testing.B) {
	line := `198.51.100.23 - - [10/Oct/2026:13:55:36 +0000] "GET /shop/cart?id=7 HTTP/1.1" 200 2326 "https://example.com/" "Mozilla/5.0 (X11; Linux x86_64)"`
	rec := &millrace.Record{Format: "auto", Sender: "203.0.113.77", Arrived: 1_800_000_000_000_000_000}
	for range 1000 {
		rec.Frames = append(rec.Frames, uint32(len(line)+1))
		rec.Payload = append(append(rec.Payload, line...), '\n')
	}
	for name, d := range map[string]*decoding{"off": {}, "on": {addresses: &addresses{}}} {
		b.Run(name, func(b *testing.B) {
			d.decoder = decode.Decoder{}
			u := &unit{rec: rec}
			b.ReportAllocs()
			for b.Loop() {
				if err := decodeUnit(d, u); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func TestTruncateAddressesAllocates(t *testing.T) {
	u := truncated(t, "json", "203.0.113.77", nil, `{"msg":"login of 198.51.100.23","client_ip":"198.51.100.23","user":{"ip_address":"2001:db8::1"}}`)
	d := decoding{addresses: &addresses{}}
	if n := testing.AllocsPerRun(100, func() { _ = decodeUnit(&d, u) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
