package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Elasticsearch's _bulk body, as of 6.8 to 9.x (REST API reference, "Bulk API";
// org.elasticsearch.action.bulk.BulkRequestParser): lines of JSON, an action and
// then its document, unless the action is delete.
//
//	{"create":{"_index":"logs-shop","_id":"7f2c"}}
//	{"@timestamp":"2026-03-05T11:59:58Z","message":"order placed"}
//
// An item's bytes are the document, its context is the action's line as it was
// sent. What the request says about all items (the index in the path, a
// pipeline) goes before that as a JSON object and a line end. So actions that are
// the same, line after line, are stored once.
//
//   - index and create add an event. update and delete are refused item by item:
//     an event that is stored is never changed.
//   - The document is decoded as a line of JSON is (json.go), which knows the
//     names of ECS; one of the OpenTelemetry Collector as OTLP is (bulk_otel.go).
//     _index goes to attrs if it is not the source's name; _id,
//     routing, pipeline and version do if they are given.
//   - The source is the index without date, number and ".ds-", see sourceOfIndex,
//     unless the request names one.
//   - An item with an _id has a Piece.ID, from index and _id.
//
// Deviations, all of which refuse less: the last line needs no line end; an
// action that cannot be read costs its item and not the request, and the lines
// after it up to the next action belong to it; _index may be missing. Accepted
// and of no effect are _type, version_type, require_alias, require_data_stream,
// dynamic_templates and list_executed_pipelines. if_seq_no and if_primary_term
// are refused: nothing could be compared.
//
// Limits: an item fits into a queue record of 1 MiB; _id has 512 bytes at most,
// as in Elasticsearch, and _index 255.

// BulkExtra is what a request says besides the body of format bulk. As JSON it
// is the argument extra of Split.
type BulkExtra struct {
	Index    string `json:"_index,omitempty"` // of items that name none
	Pipeline string `json:"pipeline,omitempty"`
	Routing  string `json:"routing,omitempty"`
	// OneSource tells that the request names the source of all items.
	OneSource bool `json:"one_source,omitempty"`
	// Single is "index" or "create" if the body is one document without an
	// action, whose ID is ID if it has one.
	Single string `json:"single,omitempty"`
	ID     string `json:"_id,omitempty"`
}

// Reasons why items of a _bulk body are refused; ReasonBadJSON and ReasonBadUTF8
// are others.
const (
	ReasonBulkAction = "bulk_action"      // the action cannot be read
	ReasonBulkUpdate = "bulk_update"      // update and delete
	ReasonBulkNoItem = "bulk_no_document" // the body ends after an action
	reasonTooLarge   = "event_too_large"  // as ingest names it
)

// bulkMemory is what Pieces keeps for bodies of this format.
type bulkMemory struct {
	keys    keyCache
	sources map[string]string // of indices
	scratch []byte
}

// bulkSplitter is the state of one call of Split.
type bulkSplitter struct {
	*bulkMemory
	res       *Pieces
	lim       Limits
	body      []byte
	at, line  int // of the line that is next, and the number of the one before
	index     int // of the item
	extra     BulkExtra
	prefix    []byte // of contexts: what the request says, and a line end
	checkUTF8 bool   // the body is not all valid
	actions   int    // that could be read

	// The action of the item before: its line, its context, and what it gives.
	last, context []byte
	action        bulkAction
	piece         Piece
}

func splitBulk(res *Pieces, extra, body []byte, lim Limits) error {
	if res.bulk == nil {
		res.bulk = &bulkMemory{sources: map[string]string{}}
	}
	s := &bulkSplitter{bulkMemory: res.bulk, res: res, lim: lim, body: body}
	if len(extra) > 0 {
		if err := json.Unmarshal(extra, &s.extra); err != nil {
			return millrace.Errorf(millrace.ErrInvalid, "what the request says about all items: %v", err)
		}
	}
	s.checkUTF8 = !utf8.Valid(body)
	if s.extra.Single != "" {
		return s.single()
	}
	s.defaults()
	if err := s.run(); err != nil {
		return err
	}
	if s.index == 0 {
		return millrace.Errorf(millrace.ErrInvalid, "the body is empty; a _bulk body is lines of JSON, an action and its document")
	}
	if s.actions == 0 {
		return millrace.Errorf(millrace.ErrInvalid, "the body has no action that can be read: %s", res.Refused[0].Detail)
	}
	return nil
}

// defaults sets the prefix of contexts.
func (s *bulkSplitter) defaults() {
	x := BulkExtra{Index: s.extra.Index, Pipeline: s.extra.Pipeline, Routing: s.extra.Routing}
	if x == (BulkExtra{}) {
		return
	}
	text, err := json.Marshal(x)
	if err != nil {
		panic("BUG: strings do not marshal: " + err.Error())
	}
	s.prefix = append(append(s.res.Text(len(text)+1), text...), '\n')
}

// next returns the next line without its end; ok is false at the body's end.
func (s *bulkSplitter) next() (line []byte, ok bool) {
	if s.at >= len(s.body) {
		return nil, false
	}
	s.line++
	line = s.body[s.at:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
		s.at++
	}
	s.at += len(line)
	return trimCR(line), true
}

func (s *bulkSplitter) run() error {
	if bytes.HasPrefix(s.body, bom) {
		s.at = len(bom)
	}
	for {
		line, ok := s.next()
		if !ok {
			return nil
		}
		if blank(line) {
			continue
		}
		if s.index++; s.lim.MaxEvents > 0 && s.index > s.lim.MaxEvents {
			return millrace.Errorf(millrace.ErrTooLarge, "the body has more than %d items", s.lim.MaxEvents)
		}
		if !s.begin(line) {
			s.skipToAction()
			continue
		}
		s.actions++
		switch s.action.op {
		case bulkUpdate:
			s.next()
			s.refuse(ReasonBulkUpdate, "update is not supported: events are not changed once they are stored; use index or create", line)
		case bulkDelete:
			s.refuse(ReasonBulkUpdate, "delete is not supported: events are deleted by retention only", line)
		default:
			s.document()
		}
	}
}

// begin reads an action's line, or refuses the item and returns false.
func (s *bulkSplitter) begin(line []byte) bool {
	if len(s.last) > 0 && bytes.Equal(line, s.last) {
		return true
	}
	s.last, s.context = nil, nil
	if s.checkUTF8 && !utf8.Valid(line) {
		s.refuse(ReasonBulkAction, fmt.Sprintf("line %d: the action has invalid UTF-8 in column %d", s.line, 1+invalidUTF8(line)), line)
		return false
	}
	context := line
	if len(s.prefix) > 0 {
		context = append(append(s.res.Text(len(s.prefix)+len(line)), s.prefix...), line...)
	}
	if fault := s.action.parse(context); fault != "" {
		s.refuse(ReasonBulkAction, fmt.Sprintf("line %d: %s", s.line, fault), line)
		return false
	}
	s.last, s.context = line, context
	s.fill()
	return true
}

// fill sets what all pieces of the action have in common.
func (s *bulkSplitter) fill() {
	s.piece = Piece{Context: s.context}
	index := s.action.index.of(s.context)
	if len(index) > 0 && !s.extra.OneSource {
		s.piece.Source = s.source(index)
	}
	s.piece.ID = s.action.eventID(s.context, &s.scratch)
}

// maxSources bounds the memory for names of sources.
const maxSources = 1024

func (s *bulkSplitter) source(index []byte) string {
	if name, ok := s.sources[string(index)]; ok {
		return name
	}
	if len(s.sources) >= maxSources {
		clear(s.sources)
	}
	name := sourceOfIndex(string(unescape(nil, index)))
	s.sources[string(index)] = name
	return name
}

// document takes the line after an action.
func (s *bulkSplitter) document() {
	doc, ok := s.next()
	if !ok {
		s.refuse(ReasonBulkNoItem, fmt.Sprintf("line %d: the body ends before the document of this action", s.line), s.last)
		return
	}
	s.add(doc)
}

func (s *bulkSplitter) add(doc []byte) {
	pos, ok := s.keys.check(doc)
	switch {
	case len(doc) > int(s.lim.MaxEvent):
		s.refuse(reasonTooLarge, fmt.Sprintf("the document has %d bytes, the limit is %d", len(doc), s.lim.MaxEvent), doc)
	case !ok:
		s.refuse(ReasonBadJSON, s.detail(func() string {
			if blank(doc) {
				return fmt.Sprintf("line %d: a blank line where a document is expected", s.line)
			}
			return fmt.Sprintf("line %d: %s", s.line, describeJSON(doc, pos))
		}), doc)
	case s.checkUTF8 && !utf8.Valid(doc):
		s.refuse(ReasonBadUTF8, fmt.Sprintf("line %d: invalid UTF-8 in column %d", s.line, 1+invalidUTF8(doc)), doc)
	default:
		s.res.Events = append(s.res.Events, s.piece)
		p := &s.res.Events[len(s.res.Events)-1]
		p.Item, p.Index = doc, s.index
	}
}

// single takes the whole body as a document.
func (s *bulkSplitter) single() error {
	meta := struct {
		Index    string `json:"_index,omitempty"`
		ID       string `json:"_id,omitempty"`
		Pipeline string `json:"pipeline,omitempty"`
		Routing  string `json:"routing,omitempty"`
	}{s.extra.Index, s.extra.ID, s.extra.Pipeline, s.extra.Routing}
	line, err := json.Marshal(map[string]any{s.extra.Single: meta})
	if err != nil {
		panic("BUG: strings do not marshal: " + err.Error())
	}
	s.index, s.line = 1, 1
	s.context = append(s.res.Text(len(line)), line...)
	if fault := s.action.parse(s.context); fault != "" {
		return millrace.Errorf(millrace.ErrInvalid, "%s", fault)
	}
	s.fill()
	s.add(bytes.TrimSpace(s.body))
	return nil
}

// skipToAction leaves the lines out that belong to an action which could not be
// read: those before the next one.
func (s *bulkSplitter) skipToAction() {
	for {
		at, line := s.at, s.line
		text, ok := s.next()
		if !ok {
			return
		}
		if !blank(text) && s.action.parse(text) == "" {
			s.at, s.line = at, line
			return
		}
	}
}

func (s *bulkSplitter) refuse(reason, detail string, part []byte) {
	s.res.refuse(s.index, reason, detail, part)
	s.res.Refused[len(s.res.Refused)-1].Context = s.context
}

// detail returns what f says, or "" after maxDetails refused items.
func (s *bulkSplitter) detail(f func() string) string {
	if len(s.res.Refused) >= maxDetails {
		return ""
	}
	return f()
}
