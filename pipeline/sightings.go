package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// sightings gathers what the events sink saw of each fingerprint since its last
// flush, whether its details are kept or not.
//
// Memory: maxSightings and what one record adds, and sightingBytes of texts likewise,
// end a flush early.
//
// Used by the goroutine of the events sink.
type sightings struct {
	seen  map[sightKey]*sighting
	last  *sighting // mostly the next event is of the same
	bytes int       // of texts
}

// sightKey tells sightings apart. Releases too, so that an issue that is resolved in
// one regresses exactly with the next.
type sightKey struct{ project, fingerprint, env, release string }

// sighting is one that is not told yet. Texts stand in one buffer, which another event
// reuses if it is older.
type sighting struct {
	key         sightKey
	first, last int64
	texts       []byte
	ends        [sightTexts]int // of type, title, level, service, source
	report      []byte
}

const sightTexts = 5

// Bounds of what a flush tells.
const (
	maxSightings  = 20_000
	sightingBytes = 32 << 20
	// maxFingerprint bounds a fingerprint that is told: millrace's own have 18 bytes,
	// those that rules make some more.
	maxFingerprint = 512
	maxSightText   = 512
)

func newSightings() *sightings { return &sightings{seen: map[sightKey]*sighting{}} }

// full reports whether what was seen is to be told now.
func (s *sightings) full() bool { return len(s.seen) >= maxSightings || s.bytes >= sightingBytes }

// observe notes an exception.
func (s *sightings) observe(e *millrace.Event, fingerprint string) {
	if fingerprint == "" || len(fingerprint) > maxFingerprint {
		return
	}
	key := sightKey{e.Project, fingerprint, e.Env, e.Release}
	of := s.last
	if of == nil || of.key != key {
		if of = s.seen[key]; of == nil {
			of = s.begin(key, e)
		}
		s.last = of
	}
	of.last = max(of.last, e.Time)
	if e.Time < of.first {
		of.first = e.Time
		s.describe(of, e)
	}
}

func (s *sightings) begin(key sightKey, e *millrace.Event) *sighting {
	key = sightKey{ // they point into the payload
		strings.Clone(key.project), strings.Clone(key.fingerprint), strings.Clone(key.env), strings.Clone(key.release),
	}
	of := &sighting{key: key, first: e.Time, last: e.Time}
	s.seen[key] = of
	s.bytes += len(key.project) + len(key.fingerprint) + len(key.env) + len(key.release)
	s.describe(of, e)
	return of
}

// describe takes from e, the first event, what tells people what the fingerprint is.
// It copies, and reads nothing: package issue does, of fingerprints that are new.
func (s *sightings) describe(of *sighting, e *millrace.Event) {
	before := cap(of.texts) + cap(of.report)
	typ, message, report := attrText(e, millrace.AttrType), attrText(e, "exception_message"), attrText(e, millrace.AttrReport)
	if message == "" && typ == "" && report == "" {
		message = e.Message // of others it begins with words of the runtime
	}
	of.texts = of.texts[:0]
	for i, text := range [sightTexts]string{typ, firstLine(message), e.Level, e.Service, e.Source} {
		of.texts = append(of.texts, cutText(text, maxSightText)...)
		of.ends[i] = len(of.texts)
	}
	of.report = append(of.report[:0], report...)
	s.bytes += cap(of.texts) + cap(of.report) - before
}

func attrText(e *millrace.Event, key string) string {
	v, ok := e.Attr(key)
	if !ok {
		return ""
	}
	return v.String()
}

func firstLine(s string) string {
	s = strings.TrimLeft(s, "\r\n\t ")
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i]
	}
	return s
}

// cutText returns at most n bytes of s, whole characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// take returns what was seen, and forgets it.
func (s *sightings) take() []*sighting {
	if len(s.seen) == 0 {
		return nil
	}
	out := make([]*sighting, 0, len(s.seen))
	for _, of := range s.seen {
		out = append(out, of)
	}
	clear(s.seen)
	s.last, s.bytes = nil, 0
	return out
}

// finished returns sightings as millrace.Sightings takes them, by project,
// fingerprint, environment and release. It may have to cut reports, and so runs beside
// the sink.
func finished(list []*sighting) []millrace.Sighting {
	slices.SortFunc(list, func(a, b *sighting) int {
		return cmp.Or(cmp.Compare(a.key.project, b.key.project), cmp.Compare(a.key.fingerprint, b.key.fingerprint),
			cmp.Compare(a.key.env, b.key.env), cmp.Compare(a.key.release, b.key.release))
	})
	out := make([]millrace.Sighting, len(list))
	for i, of := range list {
		out[i] = of.finish()
	}
	return out
}

func (of *sighting) finish() millrace.Sighting {
	text := func(i int) string {
		from := 0
		if i > 0 {
			from = of.ends[i-1]
		}
		return strings.ReplaceAll(string(of.texts[from:of.ends[i]]), "\x00", "")
	}
	return millrace.Sighting{
		Project: of.key.project, Fingerprint: of.key.fingerprint, Env: of.key.env,
		First: of.first, Last: of.last, FirstRelease: of.key.release, LastRelease: of.key.release,
		Type: text(0), Title: text(1), Level: text(2), Service: text(3), Source: text(4), Report: fitReport(of.report),
	}
}
