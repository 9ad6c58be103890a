package transform

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/millrace/millrace"
)

// MaxCountryDB is how large a database may be, in bytes: it is read into
// memory. GeoLite2-Country has 9 MB, GeoIP2-City 120 MB.
const MaxCountryDB = 256 << 20

// Countries is an open database in MaxMind's format (MMDB, version 2.0) from
// which countries are looked up: GeoLite2 and GeoIP2 Country and City, DB-IP,
// IPinfo and others that have country.iso_code, country_code or country. None is
// shipped with millrace. It does not change and is safe for concurrent use.
//
// The file is read, not mapped: a mapped file that is overwritten in place ends
// the process.
type Countries struct {
	db      *maxminddb.Reader
	paths   [][]any // where the records have the code, first that is there counts
	info    CountryInfo
	corrupt atomic.Int64
}

// CountryInfo describes a database.
type CountryInfo struct {
	File  string    `json:"file"`
	Type  string    `json:"type"` // as the maker calls it: GeoLite2-Country
	Built time.Time `json:"built"`
	Size  int64     `json:"size"` // bytes
}

// countryPaths are what makers of databases call the code.
var countryPaths = [][]any{
	{"country", "iso_code"},            // MaxMind, DB-IP
	{"registered_country", "iso_code"}, // where MaxMind does not know the place
	{"country_code"},                   // IPinfo's new ones, IP2Location
	{"country"},                        // IPinfo
}

// countrySample is how many networks are read to find out what a database has.
const countrySample = 1000

// OpenCountries reads and verifies a database. An error says what is wrong with
// the file; its code is millrace.ErrInvalid unless the file cannot be read.
func OpenCountries(file string) (*Countries, error) {
	data, err := readCountryDB(file)
	if err != nil {
		return nil, err
	}
	invalid := func(format string, args ...any) error {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: fmt.Sprintf("country database %s: ", file) + fmt.Sprintf(format, args...)}
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, invalid("%v", err)
	}
	if err := db.Verify(); err != nil {
		return nil, invalid("%v", err)
	}
	c := &Countries{db: db, info: CountryInfo{file, db.Metadata.DatabaseType, db.Metadata.BuildTime().UTC(), int64(len(data))}}
	if c.paths, err = pathsOf(db); err != nil {
		return nil, invalid("%v", err)
	}
	if len(c.paths) == 0 {
		return nil, invalid("its type is %s and its records have no country; take one for countries or cities", c.info.Type)
	}
	return c, nil
}

func readCountryDB(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open country database: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxCountryDB+1))
	if err != nil {
		return nil, fmt.Errorf("read country database: %w", err)
	}
	if len(data) > MaxCountryDB {
		return nil, &millrace.Error{
			Code:    millrace.ErrInvalid,
			Message: fmt.Sprintf("country database %s has more than %d bytes, the limit", file, MaxCountryDB),
		}
	}
	return data, nil
}

// pathsOf returns where the records of a database have a country's code.
func pathsOf(db *maxminddb.Reader) ([][]any, error) {
	found := make([]bool, len(countryPaths))
	n := 0
	for result := range db.Networks() {
		if err := result.Err(); err != nil {
			return nil, err
		}
		for i, path := range countryPaths {
			code, ok := codeAt(result, path)
			found[i] = found[i] || ok && code != ""
		}
		if n++; n == countrySample {
			break
		}
	}
	var paths [][]any
	for i, path := range countryPaths {
		if found[i] {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// codeAt returns the code at a path. ok is false if there is something else.
func codeAt(result maxminddb.Result, path []any) (code string, ok bool) {
	var text string
	if err := result.DecodePath(&text, path...); err != nil {
		return "", false
	}
	return countryCode(text), true
}

// countryCode returns a text of two letters as a constant in upper case, or "".
func countryCode(text string) string {
	if len(text) != 2 || !isLetter(text[0]) || !isLetter(text[1]) {
		return ""
	}
	i := int(text[0]|0x20-'a')*26 + int(text[1]|0x20-'a')
	return countryCodes[2*i : 2*i+2]
}

// countryCodes holds all pairs of letters, so that a code needs no memory of
// its own and keeps no database alive.
var countryCodes = func() string {
	b := make([]byte, 0, 2*26*26)
	for i := range 26 * 26 {
		b = append(b, byte('A'+i/26), byte('A'+i%26))
	}
	return string(b)
}()

// Lookup returns the country of an address as ISO 3166-1 alpha-2, such as DE, or
// "" if the database has none. It takes under a microsecond; see CountryCache.
func (c *Countries) Lookup(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.Is6() && c.db.Metadata.IPVersion == 4 {
		return ""
	}
	result := c.db.Lookup(addr)
	if result.Err() != nil {
		c.corrupt.Add(1)
		return ""
	}
	if !result.Found() {
		return ""
	}
	damaged := true
	for _, path := range c.paths {
		code, ok := codeAt(result, path)
		if code != "" {
			return code
		}
		damaged = damaged && !ok
	}
	if damaged {
		c.corrupt.Add(1)
	}
	return ""
}

// Info describes the database.
func (c *Countries) Info() CountryInfo { return c.info }

// Corrupt returns how many lookups failed because the database is damaged.
func (c *Countries) Corrupt() int64 { return c.corrupt.Load() }

// CountryFile is a database that may be replaced while it is used. It is safe
// for concurrent use.
type CountryFile struct{ current atomic.Pointer[Countries] }

// OpenCountryFile opens a database that may be replaced later; errors as
// OpenCountries.
func OpenCountryFile(file string) (*CountryFile, error) {
	c, err := OpenCountries(file)
	if err != nil {
		return nil, err
	}
	f := &CountryFile{}
	f.current.Store(c)
	return f, nil
}

// Get returns the database in force. What was looked up in it stays valid.
func (f *CountryFile) Get() *Countries { return f.current.Load() }

// Replace puts the database of another in force: rules that were compiled with
// f look countries up in it from now on.
//
// A replay after that may find other countries: the database is no part of the
// rules' version.
func (f *CountryFile) Replace(by *CountryFile) { f.current.Store(by.Get()) }
