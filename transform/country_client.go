package transform

import (
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Bounds of a client's address as proxies report it.
const (
	maxClientText = 1024 // bytes
	maxClientHops = 32
)

// ParseClient returns the address of the client from what logs have for it: an
// address, with port or not, IPv6 in brackets or not; a list of these as in
// X-Forwarded-For, of which the first public one counts, else the first; or
// Forwarded's "for=" (RFC 7239). ok is false if there is none. It does not
// allocate.
//
// X-Forwarded-For is what the client and proxies say: without a proxy that
// overwrites it anybody can claim any address.
func ParseClient(text string) (addr netip.Addr, ok bool) {
	text = text[:min(len(text), maxClientText)]
	for range maxClientHops {
		one, rest, more := strings.Cut(text, ",")
		a, valid := parseHop(one)
		if valid && (!ok || isPublic(a)) {
			addr, ok = a, true
			if isPublic(a) {
				break
			}
		}
		if text = rest; !more {
			break
		}
	}
	return addr, ok
}

// parseHop parses one entry of a list.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if i := indexFor(text); i >= 0 {
		text = text[i:]
		if end := strings.IndexByte(text, ';'); end >= 0 {
			text = text[:end]
		}
	}
	text = strings.Trim(text, `" `)
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		text = text[1:end]
	} else if i := strings.IndexByte(text, ':'); i >= 0 && strings.IndexByte(text[i+1:], ':') < 0 {
		text = text[:i] // IPv4 with a port
	}
	if i := strings.IndexByte(text, '%'); i >= 0 { // the zone of a link-local address
		text = text[:i]
	}
	// An error of ParseAddr costs an allocation, so what cannot be one is not tried.
	if len(text) < 2 || len(text) > 45 || strings.Trim(text, "0123456789abcdefABCDEF.:") != "" {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}

// indexFor returns where the value of "for=" starts, or -1.
func indexFor(text string) int {
	for from := 0; ; {
		i := strings.IndexByte(text[from:], '=')
		if i < 0 {
			return -1
		}
		i += from
		if i >= 3 && strings.EqualFold(text[i-3:i], "for") && (i == 3 || text[i-4] == ';' || text[i-4] == ' ') {
			return i + 1
		}
		from = i + 1
	}
}

// sharedAddresses are of carriers' NAT (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedAddresses.Contains(a)
}

// countrySlots is how many clients a CountryCache remembers.
const countrySlots = 4096

// maxCountryText is how long a text it remembers may be, in bytes.
const maxCountryText = 64

// CountryCache remembers the countries of recent clients, for one goroutine: up
// to 4,096 texts of up to 64 bytes, 400 KiB. The zero value is ready.
type CountryCache struct {
	of    *Countries
	slots []countrySlot
}

type countrySlot struct {
	hash uint64
	len  uint8 // 0: the slot is empty
	text [maxCountryText]byte
	code string
}

// Lookup returns the country of a client in db as ParseClient and Countries do:
// "" if there is no address in the text or no country known. A hit takes about
// 30 ns and does not allocate.
func (c *CountryCache) Lookup(db *Countries, client string) string {
	if len(client) == 0 || len(client) > maxCountryText {
		return lookupClient(db, client)
	}
	if c.of != db {
		c.of, c.slots = db, make([]countrySlot, countrySlots)
	}
	hash := xxhash.Sum64String(client)
	s := &c.slots[hash%countrySlots]
	if s.hash == hash && string(s.text[:s.len]) == client {
		return s.code
	}
	s.hash, s.len = hash, uint8(copy(s.text[:], client))
	s.code = lookupClient(db, client)
	return s.code
}

func lookupClient(db *Countries, client string) string {
	addr, ok := ParseClient(client)
	if !ok {
		return ""
	}
	return db.Lookup(addr)
}
