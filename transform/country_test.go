package transform

import (
	"encoding/binary"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// mmdb encodes a database of the format's version 2.0, for tests: a binary trie
// of the networks, records of 24 bits, and behind it the data.
// See https://maxmind.github.io/MaxMind-DB/.
type mmdb struct {
	version int // 4 or 6
	nodes   [][2]int
	data    []byte
}

func encodeMMDB(t testing.TB, version int, networks map[string]any) []byte {
	t.Helper()
	db := &mmdb{version: version, nodes: [][2]int{{}}}
	type leaf struct {
		prefix netip.Prefix
		offset int
	}
	var leaves []leaf
	names := make([]string, 0, len(networks))
	for name := range networks {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		leaves = append(leaves, leaf{netip.MustParsePrefix(name), len(db.data)})
		db.data = appendMMDB(db.data, networks[name])
	}
	for _, l := range leaves {
		db.insert(l.prefix, -1-l.offset)
	}
	var out []byte
	put := func(v int) { // 0 is no node but the root: nothing is known
		switch {
		case v < 0:
			v = len(db.nodes) + 16 - 1 - v
		case v == 0:
			v = len(db.nodes)
		}
		out = append(out, byte(v>>16), byte(v>>8), byte(v))
	}
	for _, n := range db.nodes {
		put(n[0])
		put(n[1])
	}
	out = append(append(out, make([]byte, 16)...), db.data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return appendMMDB(out, map[string]any{
		"binary_format_major_version": 2, "binary_format_minor_version": 0,
		"build_epoch": 1_700_000_000, "database_type": "Test-Country", "description": map[string]any{"en": "of a test"},
		"ip_version": version, "languages": []any{}, "node_count": len(db.nodes), "record_size": 24,
	})
}

func (db *mmdb) insert(p netip.Prefix, value int) {
	bits, n := p.Addr().AsSlice(), p.Bits()
	if db.version == 6 && p.Addr().Is4() {
		bits, n = append(make([]byte, 12), bits...), n+96
	}
	node := 0
	for i := range n {
		b := int(bits[i/8]>>(7-i%8)) & 1
		if i == n-1 {
			db.nodes[node][b] = value
			return
		}
		if db.nodes[node][b] == 0 {
			db.nodes = append(db.nodes, [2]int{})
			db.nodes[node][b] = len(db.nodes) - 1
		}
		node = db.nodes[node][b]
	}
}

// appendMMDB appends a value of the data section.
func appendMMDB(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(append(dst, 2<<5|byte(len(v))), v...)
	case int:
		if v > math.MaxUint16 {
			return binary.BigEndian.AppendUint64(append(dst, 0<<5|8, 9-7), uint64(v)) // extended type uint64
		}
		return binary.BigEndian.AppendUint16(append(dst, 5<<5|2), uint16(v))
	case []any:
		return append(dst, byte(len(v)), 11-7) // only empty ones are needed
	case map[string]any:
		dst = append(dst, 7<<5|byte(len(v)))
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			dst = appendMMDB(appendMMDBKey(dst, k), v[k])
		}
		return dst
	}
	panic("BUG: not encoded")
}

func appendMMDBKey(dst []byte, k string) []byte {
	if len(k) >= 29 {
		panic("BUG: the key is too long")
	}
	return append(append(dst, 2<<5|byte(len(k))), k...)
}

func isoCode(code string) map[string]any {
	return map[string]any{"country": map[string]any{"iso_code": code}}
}

func writeMMDB(t testing.TB, version int, networks map[string]any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(file, encodeMMDB(t, version, networks), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

var testNetworks = map[string]any{
	"81.2.69.0/24": isoCode("GB"), "89.160.20.0/24": isoCode("se"), "2001:218::/32": isoCode("JP"),
	"5.0.0.0/8":  map[string]any{"registered_country": map[string]any{"iso_code": "DE"}},
	"6.0.0.0/16": map[string]any{"country": map[string]any{"iso_code": "Atlantis"}},
}

func TestCountries(t *testing.T) {
	c, err := OpenCountries(writeMMDB(t, 6, testNetworks))
	if err != nil {
		t.Fatal(err)
	}
	if i := c.Info(); i.Type != "Test-Country" || !i.Built.Equal(time.Unix(1_700_000_000, 0)) || i.Size == 0 {
		t.Errorf("info %+v", i)
	}
	var cache CountryCache
	f := func(client, want string) {
		t.Helper()
		for range 2 {
			if got := cache.Lookup(c, client); got != want {
				t.Errorf("%q is in %q, want %q", client, got, want)
			}
		}
	}
	f("81.2.69.142", "GB")
	f("89.160.20.1:443", "SE")
	f("::ffff:81.2.69.142", "GB")
	f("[2001:218::1]:80", "JP")
	f("2001:218::1%eth0", "JP")
	f("5.6.7.8", "DE")
	f("6.0.0.1", "") // no code
	f("9.9.9.9", "")
	f("10.0.0.1, 192.168.1.1, 81.2.69.1, 89.160.20.1", "GB")
	f(`for="[2001:218::1]:1234";proto=https, for=81.2.69.1`, "JP")
	f("", "")
	f("-", "")
	f("unknown, 81.2.69.1", "GB")
	f("localhost", "")
	f(strings.Repeat("10.0.0.1,", 10)+"81.2.69.1", "GB") // longer than what is cached
	if c.Corrupt() != 0 {
		t.Errorf("%d lookups failed", c.Corrupt())
	}
	if n := testing.AllocsPerRun(100, func() { cache.Lookup(c, "81.2.69.142") }); n > 0 {
		t.Errorf("%v allocations for a client in the cache, want none", n)
	}
}

func TestCountriesOfOtherMakers(t *testing.T) {
	for name, networks := range map[string]map[string]any{
		"country_code": {"81.2.69.0/24": map[string]any{"country_code": "GB"}},
		"country":      {"81.2.69.0/24": map[string]any{"country": "GB"}},
	} {
		c, err := OpenCountries(writeMMDB(t, 4, networks))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := c.Lookup(netip.MustParseAddr("81.2.69.1")); got != "GB" {
			t.Errorf("%s: country %q, want GB", name, got)
		}
		if got := c.Lookup(netip.MustParseAddr("2001:218::1")); got != "" || c.Corrupt() != 0 {
			t.Errorf("%s: an IPv6 address is in %q", name, got)
		}
	}
}

func TestOpenCountriesRefuses(t *testing.T) {
	good := encodeMMDB(t, 6, testNetworks)
	damaged := slices.Clone(good)
	damaged[30] = 0xff // a pointer out of the file
	f := func(name string, data []byte, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "bad.mmdb")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := OpenCountries(file)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want one that names the file and %q", name, err, want)
		}
		if millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%s: code %v", name, millrace.ErrorCode(err))
		}
	}
	f("empty", nil, "")
	f("text", []byte("no database"), "invalid MaxMind DB")
	f("cut off", good[:len(good)-40], "")
	f("damaged", damaged, "")
	f("no countries", encodeMMDB(t, 4, map[string]any{"1.0.0.0/8": map[string]any{"asn": 7}}), "have no country")
	if _, err := OpenCountries(filepath.Join(t.TempDir(), "absent")); err == nil || !strings.Contains(err.Error(), "open country database") {
		t.Errorf("absent file: %v", err)
	}
}

// TestCountryFileReplace: what looks countries up meanwhile finds the old ones or
// the new ones.
func TestCountryFileReplace(t *testing.T) {
	open := func(file string) *CountryFile {
		t.Helper()
		f, err := OpenCountryFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open(writeMMDB(t, 6, testNetworks))
	if _, err := OpenCountryFile(filepath.Join(t.TempDir(), "absent.mmdb")); err == nil {
		t.Error("an absent file is no error")
	}
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			var cache CountryCache
			for range 2000 {
				if got := cache.Lookup(f.Get(), "81.2.69.1"); got != "GB" && got != "FR" {
					t.Errorf("country %q meanwhile", got)
					return
				}
			}
		})
	}
	f.Replace(open(writeMMDB(t, 6, map[string]any{"81.2.69.0/24": isoCode("FR")})))
	wait.Wait()
	var cache CountryCache
	if got := cache.Lookup(f.Get(), "81.2.69.1"); got != "FR" {
		t.Errorf("the country is %q, want FR", got)
	}
}

func TestParseClient(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := ""
		if a, ok := ParseClient(text); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f(" 192.0.2.1:8080 ", "192.0.2.1")
	f("::1", "::1")
	f("[::1]", "::1")
	f("[::1", "")
	f("fe80::1%eth0", "fe80::1")
	f("10.1.1.1, 192.168.0.1", "10.1.1.1") // none is public: the first
	f("100.64.0.1, 8.8.8.8", "8.8.8.8")
	f("unknown,, 8.8.8.8", "8.8.8.8")
	f(`For="[2001:db8:cafe::17]:4711"`, "2001:db8:cafe::17")
	f("proto=http;for=192.0.2.60;by=203.0.113.43", "192.0.2.60")
	f("for=_hidden, for=198.51.100.17", "198.51.100.17")
	f("1.2.3", "")
	f("1.2.3.4.5", "")
	f("example.com", "")
	f(strings.Repeat("10.0.0.1,", 1000)+"8.8.8.8", "10.0.0.1") // behind the bounds
}

func FuzzParseClient(f *testing.F) {
	f.Add(`for="[2001:218::1]:1234";proto=https, for=81.2.69.1`)
	f.Add("10.0.0.1:1, [::1]:2")
	db, err := OpenCountries(writeMMDB(f, 6, testNetworks))
	if err != nil {
		f.Fatal(err)
	}
	var cache CountryCache
	f.Fuzz(func(t *testing.T, text string) {
		addr, ok := ParseClient(text)
		if ok {
			again, ok := ParseClient(addr.String())
			if !ok || again != addr {
				t.Fatalf("%q is %v, that is %v", text, addr, again)
			}
		}
		if got, want := cache.Lookup(db, text), lookupClient(db, text); got != want {
			t.Fatalf("%q is in %q with the cache and in %q without", text, got, want)
		}
	})
}

func FuzzOpenCountries(f *testing.F) {
	f.Add(encodeMMDB(f, 6, testNetworks))
	f.Add(encodeMMDB(f, 4, map[string]any{"1.0.0.0/8": isoCode("AU")}))
	file := filepath.Join(f.TempDir(), "fuzz.mmdb")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCountries(file)
		if err != nil {
			return
		}
		for _, a := range []string{"1.2.3.4", "81.2.69.1", "2001:218::1", "::"} {
			if code := c.Lookup(netip.MustParseAddr(a)); len(code) != 0 && len(code) != 2 {
				t.Fatalf("%s is in %q", a, code)
			}
		}
	})
}

func BenchmarkCountry(b *testing.B) {
	c, err := OpenCountries(writeMMDB(b, 6, testNetworks))
	if err != nil {
		b.Fatal(err)
	}
	clients := []string{"81.2.69.142", "89.160.20.1:443", "2001:218::1", "10.0.0.1, 81.2.69.1"}
	b.Run("cached", func(b *testing.B) {
		var cache CountryCache
		b.ReportAllocs()
		for i := range b.N {
			cache.Lookup(c, clients[i%len(clients)])
		}
	})
	b.Run("looked_up", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			lookupClient(c, clients[i%len(clients)])
		}
	})
}
