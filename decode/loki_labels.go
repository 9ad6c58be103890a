package decode

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/millrace/millrace"
)

// What labels and structured metadata of Loki become. A label under one of a
// column's own names is moved there; one that merely tells most about it (app,
// job, instance) fills the column if nothing better does and stays an attribute
// as well, so that it is found under the name by which its users know it. Where
// no label says it, the column is what the line says. All other labels are
// attributes. Of a name given twice the metadata wins.

type lokiColumn uint8

const (
	lokiNoColumn lokiColumn = iota
	lokiService
	lokiHost
	lokiEnv
	lokiRelease
	lokiLevel
	lokiTrace
	lokiColumns
)

// ranks of names: from lokiMoves on they are the column's own.
const lokiMoves = 50

// lokiDefault is the rank of what yields to the line.
const lokiDefault = 1

// lokiField says what a label is for, and how well its name is known. The order
// of the names that fill service is Loki's own (discover_service_name).
func lokiField(name string) (lokiColumn, uint8) {
	switch name {
	case "service_name":
		return lokiService, 60
	case "service":
		return lokiService, 59
	case "app":
		return lokiService, 20
	case "application":
		return lokiService, 19
	case "app_kubernetes_io_name":
		return lokiService, 18
	case "container":
		return lokiService, 17
	case "container_name":
		return lokiService, 16
	case "component":
		return lokiService, 15
	case "workload":
		return lokiService, 14
	case "job":
		return lokiService, 13

	case "host":
		return lokiHost, 60
	case "hostname", "host_name":
		return lokiHost, 59
	case "node_name":
		return lokiHost, 20
	case "node":
		return lokiHost, 19
	case "instance":
		return lokiHost, 18

	case "env", "environment":
		return lokiEnv, 60
	case "deployment_environment_name", "deployment_environment":
		return lokiEnv, 59
	case "release":
		return lokiRelease, 60
	case "service_version", "app_version":
		return lokiRelease, 59
	case "level":
		return lokiLevel, 60
	case "severity", "severity_text", "lvl", "loglevel", "log_level", "levelname":
		return lokiLevel, 59
	case "detected_level":
		return lokiLevel, lokiDefault
	case "trace_id", "traceId", "traceID", "traceid", "TraceId", "TraceID":
		return lokiTrace, 60
	}
	return lokiNoColumn, 0
}

// lokiExtracted is behind the name of a line's field that a label has, as in Loki.
const lokiExtracted = "_extracted"

type lokiLabel struct {
	name  string
	value millrace.Value
	col   lokiColumn
	rank  uint8
}

// lokiStream is what the decoder keeps of the stream it reads: its labels, parsed
// once, and behind them the metadata of one entry. What it holds points into the
// payload, and so is forgotten with the record.
type lokiStream struct {
	context []byte
	loaded  bool
	own     int // how many of labels are the stream's
	labels  []lokiLabel
	ownWin  [lokiColumns]int16 // 1 + which of them fills a column
	win     [lokiColumns]int16 // with the entry's

	// What DecodeFrame decoded last.
	record  *millrace.Record
	ordinal int32
}

// follow tells that a frame is decoded by itself. Mostly it is the next one of
// the record before.
func (s *lokiStream) follow(r *millrace.Record, ordinal int32) {
	if r != s.record || ordinal <= s.ordinal {
		s.forget()
	}
	s.record, s.ordinal = r, ordinal
}

// forget forgets the stream; its memory may be used for another payload.
func (s *lokiStream) forget() {
	s.record = nil
	if s.loaded {
		clear(s.labels)
		s.context, s.loaded, s.own, s.labels = nil, false, 0, s.labels[:0]
	}
}

// load makes the stream with this context the current one. false: its labels
// are damaged.
func (s *lokiStream) load(context []byte) bool {
	if s.loaded && len(context) == len(s.context) && unsafe.SliceData(context) == unsafe.SliceData(s.context) {
		return true
	}
	if !s.begin(context) {
		return true
	}
	i := lokiLabelsStart(context)
	if i > len(context) {
		s.forget()
		return false
	}
	for i < len(context) {
		name, value, plain, next := nextLokiLabel(context, i)
		if next < 0 {
			s.forget()
			return false
		}
		if i = next; len(name) > 0 {
			s.add(borrow(name), millrace.StringValue(lokiLabelText(value, plain)))
		}
	}
	s.end()
	return true
}

// begin begins a stream. false: it has no labels, and is complete.
func (s *lokiStream) begin(context []byte) bool {
	s.forget()
	s.context, s.loaded, s.own = context, true, 0
	s.win, s.ownWin = [lokiColumns]int16{}, [lokiColumns]int16{}
	return len(context) > 0
}

// end tells that all labels of the stream are added.
func (s *lokiStream) end() { s.own, s.ownWin = len(s.labels), s.win }

// entry begins an entry: what the one before added is gone.
func (s *lokiStream) entry() {
	clear(s.labels[s.own:])
	s.labels, s.win = s.labels[:s.own], s.ownWin
}

// maxLokiLabels bounds what fills columns, for the indices' sake; attributes are
// not bounded.
const maxLokiLabels = 1 << 14

// add adds a label or a pair of metadata.
func (s *lokiStream) add(name string, value millrace.Value) {
	l := lokiLabel{name: name, value: value}
	l.col, l.rank = lokiField(name)
	if l.col != lokiNoColumn && !lokiFits(&l) {
		l.col = lokiNoColumn
	}
	s.labels = append(s.labels, l)
	if l.col == lokiNoColumn || len(s.labels) > maxLokiLabels {
		return
	}
	if w := s.win[l.col]; w == 0 || s.labels[w-1].rank <= l.rank {
		s.win[l.col] = int16(len(s.labels))
	}
}

// lokiFits reports whether a label's value can fill its column.
func lokiFits(l *lokiLabel) bool {
	if k := l.value.Kind(); k == millrace.ValueBool || k == millrace.ValueJSON {
		return false
	}
	text := l.value.String()
	switch {
	case text == "":
		return false
	case l.col != lokiLevel:
		return true
	case l.rank == lokiDefault:
		_, _, known := normalLevel(text)
		return known
	case isDigit(text[0]):
		text = numericLevel(text)
	}
	return text != "" && len(text) <= 2*maxLevel
}

// apply files labels and metadata in e, which has what the line says.
func (s *lokiStream) apply(d *Decoder, e *millrace.Event) {
	if len(s.labels) == 0 {
		return
	}
	d.distinct = false
	line := len(e.Attrs)
	var index map[string]int
	if line > manyAttrs && len(s.labels) > 1 {
		index = make(map[string]int, line)
		for i := range e.Attrs {
			index[e.Attrs[i].Key] = i
		}
	}
	for col := lokiService; col < lokiColumns; col++ {
		if w := s.win[col]; w > 0 {
			s.column(d, e, col, &s.labels[w-1])
		}
	}
	for i := range s.labels {
		l := &s.labels[i]
		if l.rank >= lokiMoves && l.col != lokiNoColumn && int(s.win[l.col]) == i+1 {
			continue
		}
		if line > 0 && s.collides(d, e, line, index, l) {
			continue
		}
		e.Extend().Set(l.name, l.value)
	}
}

// collides makes room for a label whose name a field of the line has, and
// reports whether that field says it already.
func (s *lokiStream) collides(d *Decoder, e *millrace.Event, line int, index map[string]int, l *lokiLabel) bool {
	k := -1
	if index != nil {
		if at, ok := index[l.name]; ok {
			k = at
		}
	} else {
		for i := range e.Attrs[:line] {
			if e.Attrs[i].Key == l.name {
				k = i
				break
			}
		}
	}
	if k < 0 {
		return false
	}
	a := &e.Attrs[k]
	if a.Key != l.name { // it was renamed for a label before
		return false
	}
	var buf [64]byte
	if string(a.Value.AppendText(buf[:0])) == l.value.String() {
		return true
	}
	a.Key = d.joined(l.name, lokiExtracted)
	return false
}

// column sets a column. What the line had there is kept if it differs.
func (s *lokiStream) column(d *Decoder, e *millrace.Event, col lokiColumn, l *lokiLabel) {
	r := d.b.Record
	var into *string
	var name, preset string
	switch col {
	case lokiService:
		into, name, preset = &e.Service, "service", r.Service
	case lokiHost:
		into, name, preset = &e.Host, "host", r.Host
	case lokiEnv:
		into, name, preset = &e.Env, "env", r.Env
	case lokiRelease:
		into, name, preset = &e.Release, "release", r.Release
	case lokiTrace:
		into, name = &e.TraceID, "trace_id"
	default:
		s.level(d, e, l)
		return
	}
	text := l.value.String()
	if had := *into; had != preset && had != "" && had != text {
		if l.rank < lokiMoves { // the line knows better than an attribute that stays
			return
		}
		e.Extend().SetString(d.joined(name, lokiExtracted), had)
	}
	*into = text
}

func (s *lokiStream) level(d *Decoder, e *millrace.Event, l *lokiLabel) {
	had := e.Level
	if had != "" && l.rank == lokiDefault {
		return
	}
	setLevel(e, l.value.String())
	if had == "" || strings.EqualFold(had, e.Level) {
		return
	}
	a, _, known := normalLevel(had)
	if b, _, ok := normalLevel(e.Level); !known || !ok || a != b {
		e.Extend().SetString("level"+lokiExtracted, had)
	}
}

// joined returns a name with a suffix, in memory of the batch.
func (d *Decoder) joined(name, suffix string) string {
	return borrow(append(append(d.b.Text(len(name)+len(suffix)), name...), suffix...))
}

// sameText reports whether s is the text b itself, not merely equal.
func sameText(s string, b []byte) bool {
	return len(s) == len(b) && unsafe.StringData(s) == unsafe.SliceData(b)
}

func appendTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// checkLokiLabels returns where a text of labels goes wrong, or -1.
func checkLokiLabels(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	if !utf8.Valid(b) {
		return invalidUTF8(b)
	}
	i := lokiLabelsStart(b)
	if i > len(b) {
		return skipSpace(b, 0)
	}
	for i < len(b) {
		_, _, _, next := nextLokiLabel(b, i)
		if next < 0 {
			return ^next
		}
		i = next
	}
	return -1
}

// lokiLabelsStart returns the index behind the opening brace, or one beyond the
// end if there is none.
func lokiLabelsStart(b []byte) int {
	i := skipSpace(b, 0)
	if i == len(b) {
		return i
	}
	if b[i] != '{' || lokiLabelsEnd(b) < 0 {
		return len(b) + 1
	}
	return i + 1
}

// lokiLabelsEnd returns the index of the closing brace, which is last.
func lokiLabelsEnd(b []byte) int {
	b = bytes.TrimRight(b, " \t\r\n")
	if len(b) < 2 || b[len(b)-1] != '}' {
		return -1
	}
	return len(b) - 1
}

// nextLokiLabel reads the pair at i, of a text that ends with a brace, and
// returns where the next one begins, len(b) behind the brace, or the complement
// of where it goes wrong. value is between its quotes; plain tells that it has no
// escapes. An empty name is no pair.
func nextLokiLabel(b []byte, i int) (name, value []byte, plain bool, next int) {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		if end := skipSpace(b, i+1); end < len(b) {
			return nil, nil, false, ^end
		}
		return nil, nil, false, len(b)
	}
	n := bytes.IndexByte(b[i:], '=')
	if n < 0 {
		return nil, nil, false, ^i
	}
	name = bytes.TrimRight(b[i:i+n], " \t\r\n")
	if len(name) == 0 || bytes.ContainsAny(name, "{}\",\\!~ ") {
		return nil, nil, false, ^i
	}
	v := skipSpace(b, i+n+1)
	if v >= len(b) || b[v] != '"' && b[v] != '`' {
		return nil, nil, false, ^v
	}
	end := -1
	if b[v] == '`' {
		end = v + 1 + bytes.IndexByte(b[v+1:], '`')
		plain = true
	} else if q := closingQuote(b, v+1); q > 0 {
		end, plain = q, bytes.IndexByte(b[v+1:q], '\\') < 0
	}
	if end <= v {
		return nil, nil, false, ^v
	}
	value = b[v+1 : end]
	if !plain && !lokiUnquotes(b[v:end+1]) {
		return nil, nil, false, ^v
	}
	next = skipSpace(b, end+1)
	switch {
	case next < len(b) && b[next] == ',':
		next++
	case next < len(b) && b[next] == '}':
	default:
		return nil, nil, false, ^next
	}
	return name, value, plain, next
}

func lokiUnquotes(quoted []byte) bool {
	s, err := strconv.Unquote(borrow(quoted))
	return err == nil && utf8.ValidString(s)
}

// lokiLabelText returns a value without its escapes, which are Go's.
func lokiLabelText(value []byte, plain bool) string {
	if plain {
		return borrow(value)
	}
	s, err := strconv.Unquote(`"` + string(value) + `"`)
	if err != nil { // it was checked
		return borrow(value)
	}
	return s
}
