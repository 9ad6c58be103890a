package decode

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/millrace/millrace"
)

// bulkOp is what an action does.
type bulkOp uint8

const (
	bulkIndex bulkOp = iota
	bulkCreate
	bulkUpdate
	bulkDelete
)

var bulkOps = [...]string{bulkIndex: "index", bulkCreate: "create", bulkUpdate: "update", bulkDelete: "delete"}

// bulkAction is what the context of an item says. It holds places in the context,
// so that it is as good for any copy of it.
type bulkAction struct {
	op                                    bulkOp
	index, id, routing, pipeline, version bulkText
}

// bulkText is where a value is in a context: the inside of a string, escapes
// included, or a number. Of no length is none.
type bulkText struct{ from, to int32 }

func (t bulkText) of(context []byte) []byte { return context[t.from:t.to:t.to] }

// Most bytes of names: Elasticsearch's own limits.
const (
	maxBulkID    = 512
	maxBulkIndex = 255
)

// parse reads a context. It returns "", or what is wrong with the action.
func (a *bulkAction) parse(context []byte) (fault string) {
	*a = bulkAction{}
	at := 0
	if i := bytes.IndexByte(context, '\n'); i >= 0 {
		if _, ok := checkJSON(context[:i]); !ok {
			return "what the request says about all items is no JSON"
		}
		if _, fault := a.meta(context, skipSpace(context, 0)); fault != "" {
			return fault
		}
		at = i + 1
	}
	line := context[at:]
	if pos, ok := checkJSON(line); !ok {
		return "expected an action such as {\"create\":{}}; " + describeJSON(line, pos)
	}
	i := skipSpace(context, skipSpace(context, at)+1)
	if context[i] == '}' {
		return "the action is an empty object; expected one such as {\"create\":{}}"
	}
	name, i := memberName(context, i)
	if !a.setOp(name) {
		return fmt.Sprintf("unknown action %q; known are index, create, update and delete", millrace.Example(name))
	}
	if context[i] != '{' {
		return fmt.Sprintf("%s: expected an object", name)
	}
	i, fault = a.meta(context, i)
	if fault != "" {
		return fault
	}
	if i = skipSpace(context, i); context[i] != '}' {
		return "the action has more than one name; expected one such as {\"create\":{}}"
	}
	return ""
}

func (a *bulkAction) setOp(name []byte) bool {
	for op, known := range bulkOps {
		if string(name) == known {
			a.op = bulkOp(op)
			return true
		}
	}
	return false
}

// memberName returns the name of the member at i, escapes included, and where its
// value begins. The text is well-formed.
func memberName(b []byte, i int) (name []byte, next int) {
	end, _ := scanString(b, i+1)
	name = b[i+1 : end-1]
	return name, skipSpace(b, skipSpace(b, end)+1)
}

// meta reads the object at i, which is well-formed. It returns the index behind
// it.
func (a *bulkAction) meta(b []byte, i int) (end int, fault string) {
	i = skipSpace(b, i+1)
	for b[i] != '}' {
		name, next := memberName(b, i)
		end := skipValue(b, next, 1)
		if fault := a.field(b, name, next, end); fault != "" {
			return end, fault
		}
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return i + 1, ""
}

// field reads a field of the action, whose value is b[from:end].
func (a *bulkAction) field(b, name []byte, from, end int) (fault string) {
	var into *bulkText
	limit := 1 << 10
	switch string(name) {
	case "_index":
		into, limit = &a.index, maxBulkIndex
	case "_id":
		into, limit = &a.id, maxBulkID
	case "routing", "_routing":
		into = &a.routing
	case "pipeline":
		into = &a.pipeline
	case "version", "_version":
		into = &a.version
	case "_type", "version_type", "_version_type", "op_type", "require_alias", "require_data_stream", "dynamic_templates",
		"list_executed_pipelines", "retry_on_conflict", "_retry_on_conflict", "_source", "parent", "_parent":
		return a.opType(b, name, from, end)
	case "if_seq_no", "if_primary_term":
		return fmt.Sprintf("%s is not supported: events have no versions that could be compared", name)
	default:
		return fmt.Sprintf("the action has an unknown parameter %q", millrace.Example(name))
	}
	switch c := b[from]; {
	case c == '"':
		from, end = from+1, end-1
	case c == 'n':
		return ""
	case c == '-' || isDigit(c):
	default:
		return fmt.Sprintf("%s: expected a string", name)
	}
	if end-from > limit {
		return fmt.Sprintf("%s: %d bytes, the limit is %d", name, end-from, limit)
	}
	if end == from && into == &a.id {
		return "_id: must not be empty if it is given"
	}
	*into = bulkText{int32(from), int32(end)}
	return ""
}

// opType reads the fields that have no effect, but one: op_type makes an index a
// create.
func (a *bulkAction) opType(b, name []byte, from, end int) (fault string) {
	if string(name) != "op_type" || a.op != bulkIndex {
		return ""
	}
	switch string(b[from:end]) {
	case `"create"`:
		a.op = bulkCreate
	case `"index"`:
	default:
		return "op_type: must be index or create"
	}
	return ""
}

// eventID returns the ID of an item with an _id: the first half of a SHA-256
// of index and _id, which no client can collide with another's.
func (a *bulkAction) eventID(context []byte, scratch *[]byte) (id [16]byte) {
	if a.id.from == a.id.to {
		return id
	}
	b := unescape((*scratch)[:0], a.index.of(context))
	b = append(b, 0)
	b = unescape(b, a.id.of(context))
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	*scratch = b[:0]
	return id
}

// bulkID is eventID for what is stored.
func bulkID(context, _ []byte) (id [16]byte) {
	var a bulkAction
	if a.parse(context) != "" {
		return id
	}
	var scratch []byte
	return a.eventID(context, &scratch)
}

// BulkAction is what an item of format bulk says of itself.
type BulkAction struct {
	Op string // index, create, update or delete
	// The inside of JSON strings, escapes included, as the client wrote them; nil
	// for what it did not.
	Index, ID []byte
}

// ParseBulkAction reads the context of a piece or refused piece of format bulk.
// The result borrows from it; that of a context that cannot be read is an index
// without names.
func ParseBulkAction(context []byte) BulkAction {
	var a bulkAction
	if len(context) == 0 || a.parse(context) != "" {
		return BulkAction{Op: bulkOps[bulkIndex]}
	}
	return BulkAction{Op: bulkOps[a.op], Index: a.index.of(context), ID: a.id.of(context)}
}

// bulkState is the decoder's memory of the context before.
type bulkState struct {
	context []byte
	action  bulkAction
	ok      bool
	source  string // of the record that index was compared with
	differs bool   // the index is not the source's name
}

// bulk decodes an item.
func (d *Decoder) bulk(ordinal int32, context, item []byte) {
	e := d.b.Add(ordinal)
	if !d.parseJSON(e, item) {
		d.b.Drop()
		pos, _ := checkJSON(item)
		d.b.Reject(ordinal, ReasonNotJSON, describeJSON(item, pos), item)
		return
	}
	if isOTelDocument(e, item) {
		d.undo(e)
		d.bulkOTel(e, item)
	}
	s := d.bulkContext(context, e.Source)
	if s.differs {
		d.bulkAttr(e, "_index", context, s.action.index)
	}
	if s.action.id.to > 0 {
		d.bulkAttr(e, "_id", context, s.action.id)
	}
	if s.action.routing.to|s.action.pipeline.to|s.action.version.to > 0 {
		d.bulkAttr(e, "_routing", context, s.action.routing)
		d.bulkAttr(e, "_pipeline", context, s.action.pipeline)
		d.bulkAttr(e, "_version", context, s.action.version)
	}
}

// bulkContext reads a context, unless it is the one before.
func (d *Decoder) bulkContext(context []byte, source string) *bulkState {
	if d.bulks == nil {
		d.bulks = new(bulkState)
	}
	s := d.bulks
	if s.ok && bytes.Equal(context, s.context) && s.source == source {
		return s
	}
	if s.source != source {
		s.source = strings.Clone(source)
	}
	s.context, s.ok = append(s.context[:0], context...), true
	if s.action.parse(context) != "" {
		s.action = bulkAction{}
	}
	s.differs = s.action.index.to > 0 && string(s.action.index.of(context)) != source
	return s
}

// bulkAttr sets an attribute from a text of the context, unless the document has
// it; Elasticsearch refuses documents that do.
func (d *Decoder) bulkAttr(e *millrace.Event, name string, context []byte, t bulkText) {
	if t.from == t.to {
		return
	}
	if _, has := e.Attr(name); has {
		return
	}
	text := t.of(context)
	e.Extend().SetString(name, d.jsonString(text, bytes.IndexByte(text, '\\') >= 0))
}
