package decode

import (
	"bytes"
	"hash/maphash"

	"github.com/millrace/millrace"
)

// otlpContext is what the records of a scope share, read once and then added to
// each. It has its own memory, which events point into, and is not changed.
type otlpContext struct {
	raw     []byte
	columns [slotRelease - slotService + 1]otlpColumnValue
	attrs   []otlpShare
	own     []otlpShare    // of the decoder's own; they give way to attributes
	seen    map[string]int // while it is read
}

type otlpColumnValue struct {
	key, value string
	rank       uint8
}

// otlpShare is an attribute of a resource or a scope.
type otlpShare struct {
	name   string // as sent
	key    string // as events have it
	prefix string // of its name if the record has one of that name
	value  millrace.Value
	bit    uint64
}

// keptContext is how large a context may be to be remembered for long.
const keptContext = 8 << 10

var contextSeed = maphash.MakeSeed()

// otlpContext returns a context, read by parse if it is not known; nil if it is
// damaged. Requests of a client have the same again and again.
func (d *Decoder) otlpContext(s *otlpState, raw []byte, parse func(d *Decoder, c *otlpContext, b []byte) bool) *otlpContext {
	if s.last != nil && bytes.Equal(s.last.raw, raw) {
		return s.last
	}
	hash := maphash.Bytes(contextSeed, raw)
	at := s.place(hash, raw)
	if *at != nil && bytes.Equal((*at).raw, raw) {
		s.last = *at
		return s.last
	}
	c := &otlpContext{raw: bytes.Clone(raw), seen: map[string]int{}}
	b := d.b
	d.b = &millrace.Batch{} // whose texts stay as long as the context
	ok := parse(d, c, c.raw)
	d.b = b
	if !ok {
		return nil
	}
	for _, a := range c.own {
		c.share(a.prefix, a.key, a.value)
	}
	c.own, c.seen = nil, nil
	if s.last = c; len(raw) <= keptContext {
		*at = c
	}
	return c
}

// place returns where a context is, or where it goes: each has two places, so that
// those of a client, which alternate, hardly ever displace each other.
func (s *otlpState) place(hash uint64, raw []byte) **otlpContext {
	n := uint64(len(s.recent))
	first, second := &s.recent[hash%n], &s.recent[hash/n%n]
	for _, at := range [2]**otlpContext{first, second} {
		if *at == nil || bytes.Equal((*at).raw, raw) {
			return at
		}
	}
	if hash>>63 == 0 {
		return first
	}
	return second
}

// set files an attribute of the context. Of equal keys the last one wins.
func (c *otlpContext) set(prefix, key string, v millrace.Value) {
	if i, rank := otlpSlot(key); i != slotNone && prefix == "resource." && v.Kind() == millrace.ValueString && v.String() != "" {
		col := &c.columns[i-slotService]
		before := *col
		if rank < col.rank { // deployment.environment after its successor
			c.share(prefix, key, v)
			return
		}
		*col = otlpColumnValue{key, v.String(), rank}
		if before.value != "" && before.key != key {
			c.share(prefix, before.key, millrace.StringValue(before.value))
		}
		return
	}
	c.share(prefix, key, v)
}

func (c *otlpContext) share(prefix, name string, v millrace.Value) {
	key := name
	for {
		i, ok := c.seen[key]
		if ok && c.attrs[i].prefix == prefix && c.attrs[i].name == name {
			c.attrs[i].value = v
			return
		}
		if !ok {
			break
		}
		key = prefix + key // the resource has it: this one is the scope's
	}
	c.seen[key] = len(c.attrs)
	c.attrs = append(c.attrs, otlpShare{name, key, prefix, v, keyBit(key)})
}

// apply adds the shared attributes to an event that has all others.
func (c *otlpContext) apply(d *Decoder, e *millrace.Event) {
	s := d.otlp
	n := len(e.Attrs)
	many := n > manyAttrs
	if many { // comparing with each would take too long
		if d.seen == nil {
			d.seen = make(map[string]int, n)
		}
		clear(d.seen)
		for i := range e.Attrs {
			d.seen[e.Attrs[i].Key] = i
		}
	}
	for i := range c.attrs {
		a := &c.attrs[i]
		key := a.key
		if s.filter&a.bit != 0 {
			_, taken := d.seen[key]
			if !many {
				taken = hasKey(e.Attrs, key)
			}
			if taken {
				if key = d.free(e, a.prefix, key); many {
					d.seen[key] = 0
				}
			}
		}
		e.Extend().Set(key, a.value)
	}
	if many {
		clear(d.seen) // the keys point into the payload
	}
}

// own adds an attribute that is not the record's, under another name if the
// event has one of that name.
func (s *otlpState) own(d *Decoder, e *millrace.Event, prefix, key string, v millrace.Value) {
	if bit := keyBit(key); s.filter&bit == 0 {
		s.filter |= bit
	} else if hasKey(e.Attrs, key) {
		key = d.free(e, prefix, key)
	}
	e.Extend().Set(key, v)
}

// free returns a name that begins with a prefix, for an attribute whose own name
// is taken.
func (d *Decoder) free(e *millrace.Event, prefix, key string) string {
	for {
		key = borrow(append(append(d.b.Text(len(prefix)+len(key)), prefix...), key...))
		if !hasKey(e.Attrs, key) {
			d.otlp.filter |= keyBit(key)
			return key
		}
	}
}

// see notes the keys that the event has.
func (s *otlpState) see(e *millrace.Event) {
	for i := range e.Attrs {
		s.filter |= keyBit(e.Attrs[i].Key)
	}
}

func keyBit(key string) uint64 { return 1 << (keyHash(key) & 63) }

func hasKey(attrs []millrace.Attr, key string) bool {
	for i := range attrs {
		if attrs[i].Key == key {
			return true
		}
	}
	return false
}

// parseOTLPContext reads a context of protobuf.
func parseOTLPContext(d *Decoder, c *otlpContext, b []byte) bool {
	for i := 0; i < len(b); {
		tag, _, data, next := nextField(b, i)
		if next < 0 {
			return false
		}
		ok := true
		switch tag {
		case otlpResource:
			ok = c.message(d, data, "resource.", otlpResourceAttributes, otlpResourceDropped)
		case otlpContextScope:
			ok = c.message(d, data, "scope.", otlpScopeAttributes, otlpScopeDropped)
		case otlpContextSchema:
			c.schema("resource.", borrow(data))
		case otlpContextScopeSchema:
			c.schema("scope.", borrow(data))
		}
		if !ok {
			return false
		}
		i = next
	}
	return true
}

// message reads a Resource or an InstrumentationScope.
func (c *otlpContext) message(d *Decoder, b []byte, prefix string, attributes, dropped uint64) bool {
	for i := 0; i < len(b); {
		tag, n, data, next := nextField(b, i)
		if next < 0 {
			return false
		}
		switch {
		case tag == attributes:
			key, value := otlpPair(data)
			if v, ok := d.otlpAny(value); ok {
				c.set(prefix, borrow(key), v)
			}
		case tag == dropped:
			c.dropped(prefix, n)
		case prefix == "scope." && tag == otlpScopeName:
			c.scope("name", borrow(data))
		case prefix == "scope." && tag == otlpScopeVersion:
			c.scope("version", borrow(data))
		}
		i = next
	}
	return true
}

func (c *otlpContext) add(key string, v millrace.Value) {
	c.own = append(c.own, otlpShare{key: key, prefix: "otlp.", value: v})
}

func (c *otlpContext) schema(prefix, url string) {
	if url != "" {
		c.add("otel."+prefix+"schema_url", millrace.StringValue(url))
	}
}

func (c *otlpContext) scope(what, text string) {
	if text != "" {
		c.add("otel.scope."+what, millrace.StringValue(text))
	}
}

func (c *otlpContext) dropped(prefix string, n uint64) {
	if n != 0 {
		c.add("otel."+prefix+"dropped_attributes_count", uintValue(n))
	}
}
