package decode

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/millrace/millrace"
)

// OTLP logs (OpenTelemetry Protocol 1.x, opentelemetry-proto 1.0 to 1.11):
// ExportLogsServiceRequest, which is LogsData, too. "otlp" is protobuf,
// "otlp-json" (otlp_json.go) the JSON form. Resources hold scopes, and these hold
// records. An item is a LogRecord as sent, a context a message of our own:
//
//	1: Resource  2: InstrumentationScope  3, 4: their schema URLs
//
// What becomes of a record is told in otlp_event.go, and for users in
// docs/protocols/otlp.md.
//
// Limits: a record lim.MaxEvent bytes; what a resource and a scope say together
// maxOTLPContext bytes and maxOTLPShared attributes, since it is part of every
// event; values nest maxDepth deep.
// Deviations: a record that is damaged, has a field of another type or invalid
// UTF-8 is refused by itself; only damage around records, whose end cannot be
// found then, refuses a body. Groups are damage.
// Unknown fields, references into the dictionary of profiles and entity_refs,
// which only point at attributes, are not read.

// Limits of what records share.
const (
	maxOTLPContext = 64 << 10
	maxOTLPShared  = 512
)

// Reasons why records are refused.
const (
	ReasonContextTooLarge = "context_too_large"
	ReasonNotOTLP         = "not_otlp"
)

// Tags of the messages' fields.
const (
	otlpResourceLogs = 1<<3 | wireBytes // ExportLogsServiceRequest

	otlpResource  = 1<<3 | wireBytes // ResourceLogs; our context
	otlpScopeLogs = 2<<3 | wireBytes
	otlpSchema    = 3<<3 | wireBytes // ScopeLogs, too

	otlpScope      = 1<<3 | wireBytes // ScopeLogs
	otlpLogRecords = 2<<3 | wireBytes

	otlpContextScope       = 2<<3 | wireBytes // our context
	otlpContextSchema      = 3<<3 | wireBytes
	otlpContextScopeSchema = 4<<3 | wireBytes
)

// splitOTLP is Split of "otlp".
func splitOTLP(res *Pieces, _, body []byte, lim Limits) error {
	s := otlpSplitter{res: res, lim: lim, body: body}
	return s.each(body, "ExportLogsServiceRequest", 1, func(tag uint64, data []byte) error {
		if tag != otlpResourceLogs {
			return nil
		}
		return s.resource(data)
	})
}

// otlpSplitter is the state of one call of Split.
type otlpSplitter struct {
	res   *Pieces
	lim   Limits
	body  []byte
	index int // of the record before
	// shared is what the contexts take together.
	shared int
}

// each calls f for the fields of a message. Those of the numbers up to known
// must be length-delimited.
func (s *otlpSplitter) each(b []byte, name string, known uint64, f func(tag uint64, data []byte) error) error {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 || tag>>3 <= known && tag&7 != wireBytes {
			return s.damaged(b, i, name)
		}
		if err := f(tag, data); err != nil {
			return err
		}
		i = next
	}
	return nil
}

func (s *otlpSplitter) damaged(b []byte, i int, name string) error {
	return millrace.Errorf(millrace.ErrInvalid, "body: byte %d of %d is no field of %s (OTLP, protobuf); nothing of this request was stored",
		max(0, offsetIn(s.body, b))+i, len(s.body), name)
}

// resource splits a ResourceLogs. The resource may stand behind its scopes.
func (s *otlpSplitter) resource(b []byte) error {
	var c otlpShared
	err := s.each(b, "ResourceLogs", 3, func(tag uint64, data []byte) error {
		switch tag {
		case otlpResource:
			c.add(otlpResource, data)
		case otlpSchema:
			c.add(otlpContextSchema, data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.each(b, "ResourceLogs", 3, func(tag uint64, data []byte) error {
		if tag != otlpScopeLogs {
			return nil
		}
		return s.scope(data, c)
	})
}

// scope splits a ScopeLogs. The scope may stand behind its records.
func (s *otlpSplitter) scope(b []byte, c otlpShared) error {
	records := 0
	err := s.each(b, "ScopeLogs", 3, func(tag uint64, data []byte) error {
		switch tag {
		case otlpScope:
			c.add(otlpContextScope, data)
		case otlpSchema:
			c.add(otlpContextScopeSchema, data)
		case otlpLogRecords:
			records++
		}
		return nil
	})
	if err != nil || records == 0 {
		return err
	}
	if n := s.lim.MaxEvents; n > 0 && s.index+records > n {
		return tooManyEvents(n)
	}
	context, reason, detail, err := s.context(&c)
	if err != nil {
		return err
	}
	return s.each(b, "ScopeLogs", 3, func(tag uint64, data []byte) error {
		if tag != otlpLogRecords {
			return nil
		}
		s.index++
		if reason != "" {
			s.res.refuse(s.index, reason, detail, data)
			return nil
		}
		s.record(context, data)
		return nil
	})
}

func tooManyEvents(n int) error {
	return millrace.Errorf(millrace.ErrTooLarge, "body: more events than the limit of %d (ingest.max_lines); nothing of this request was stored", n)
}

func (s *otlpSplitter) record(context, item []byte) {
	if len(item) > int(s.lim.MaxEvent) {
		s.res.refuse(s.index, ReasonTooLarge, tooLargeDetail(len(item), s.lim), item)
		return
	}
	if !quickRecord(item) {
		c := otlpCheck{whole: item}
		if c.record(item); c.reason != "" {
			s.res.refuse(s.index, c.reason, c.detail(s.res), item)
			return
		}
	}
	s.res.Events = append(s.res.Events, Piece{Context: context, Item: item, Index: s.index})
}

// otlpShared collects what the records of a scope share. A message that comes
// twice is merged by reading one after the other, as protobuf wants it.
type otlpShared struct {
	fields [8]otlpPart
	n      int
	more   []otlpPart
	size   int
}

type otlpPart struct {
	tag  byte
	data []byte
}

func (c *otlpShared) add(tag byte, data []byte) {
	if len(data) == 0 {
		return
	}
	c.size += 1 + binary.MaxVarintLen32 + len(data)
	if c.n < len(c.fields) {
		c.fields[c.n] = otlpPart{tag, data}
		c.n++
		return
	}
	c.more = append(c.more[:len(c.more):len(c.more)], otlpPart{tag, data}) // the resource's, in every scope of it
}

func (c *otlpShared) bytes(res *Pieces) []byte {
	out := res.Text(c.size)
	for _, parts := range [][]otlpPart{c.fields[:c.n], c.more} {
		for _, p := range parts {
			out = binary.AppendUvarint(append(out, p.tag), uint64(len(p.data)))
			out = append(out, p.data...)
		}
	}
	return out[:len(out):len(out)]
}

// context returns the context of a scope's records, or why they are refused. It
// is copied for every scope, so a small body could ask for a lot of memory.
func (s *otlpSplitter) context(c *otlpShared) (context []byte, reason, detail string, err error) {
	if c.size > maxOTLPContext {
		return nil, ReasonContextTooLarge, contextDetail(millrace.Bytes(c.size).String(), millrace.Bytes(maxOTLPContext).String()), nil
	}
	if err := s.share(c.size); err != nil {
		return nil, "", "", err
	}
	context = c.bytes(s.res)
	reason, detail = checkOTLPContext(context)
	return context, reason, detail, nil
}

// share counts the bytes of a context.
func (s *otlpSplitter) share(n int) error {
	limit := 2*len(s.body) + 8<<20
	if s.shared += n; s.shared > limit {
		return millrace.Errorf(millrace.ErrTooLarge,
			"body: what its scopes share takes more than %s, since a resource is repeated for each; send fewer scopes at a time; nothing of this request was stored",
			millrace.Bytes(limit))
	}
	return nil
}

// checkOTLPContext returns why the records of a context are refused, or "".
func checkOTLPContext(b []byte) (reason, detail string) {
	c := otlpCheck{whole: b}
	c.context(b)
	if c.reason == "" && c.attributes > maxOTLPShared {
		return ReasonContextTooLarge, contextDetail(fmt.Sprintf("%d attributes", c.attributes), strconv.Itoa(maxOTLPShared))
	}
	if c.reason == "" {
		return "", ""
	}
	return c.reason, "resource and scope: " + c.describe()
}

func contextDetail(have, limit string) string {
	return "resource and scope: " + have + "; the limit is " + limit + ", since they are part of every event"
}
