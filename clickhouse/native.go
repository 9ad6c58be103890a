package clickhouse

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace"
)

// native is a column as ClickHouse's Native format has it (docs: Native format,
// 26.7), without the prefix that a block has before it. The driver takes it over
// as if a server had sent it, which for columns of few distinct texts and of times
// saves making an interface of each value and looking it up in a map, for eleven
// columns of a raw row.
type native struct {
	rows int
	data []byte
}

func (n *native) appendTo(c chcolumn.Interface) error {
	return c.Decode(proto.NewReader(bytes.NewReader(n.data)), n.rows)
}

// Flags and index types of a LowCardinality column: its dictionary comes with it,
// for this block alone.
const (
	lowCardinalityKeys = 1<<9 | 1<<10 // HasAdditionalKeys, NeedUpdateDictionary
	keys8              = 0
	keys16             = 1
	keys32             = 2
)

// terms builds a column of few distinct texts, LowCardinality(String). The first
// text is the empty one, as the server has it.
type terms struct {
	texts []string
	keys  []uint32
	seen  map[string]uint32
	last  string
	key   uint32 // of last
}

func newTerms(n int) *terms {
	return &terms{texts: []string{""}, keys: make([]uint32, 0, n), seen: map[string]uint32{"": 0}}
}

// add appends a text, which is copied if it is new. Most rows have the text of the
// one before.
func (t *terms) add(text []byte) {
	if string(text) != t.last {
		key, ok := t.seen[string(text)]
		if !ok {
			key = t.enter(string(text))
		}
		t.key, t.last = key, t.texts[key]
	}
	t.keys = append(t.keys, t.key)
}

// enter puts a text into the dictionary, in which no text stands twice.
func (t *terms) enter(text string) uint32 {
	valid := validText(text)
	key, ok := t.seen[valid]
	if !ok {
		key = uint32(len(t.texts))
		t.seen[valid] = key
		t.texts = append(t.texts, valid)
	}
	t.seen[text] = key
	return key
}

// native returns the column: index type, dictionary, and a key per row in as few
// bytes as it takes.
func (t *terms) native() *native {
	kind, width := uint64(keys8), 1
	switch n := len(t.texts); {
	case n > 1<<16:
		kind, width = keys32, 4
	case n > 1<<8:
		kind, width = keys16, 2
	}
	b := make([]byte, 0, 64+16*len(t.texts)+width*len(t.keys))
	b = binary.LittleEndian.AppendUint64(b, lowCardinalityKeys|kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(t.texts)))
	for _, s := range t.texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(t.keys)))
	for _, k := range t.keys {
		switch width {
		case 1:
			b = append(b, byte(k))
		case 2:
			b = binary.LittleEndian.AppendUint16(b, uint16(k))
		default:
			b = binary.LittleEndian.AppendUint32(b, k)
		}
	}
	return &native{len(t.keys), b}
}

// termsOf returns a column of few distinct texts.
func termsOf(s *millrace.Strings) *native {
	t := newTerms(len(s.End))
	var from uint32
	for _, end := range s.End {
		t.add(s.Data[from:end])
		from = end
	}
	return t.native()
}

// termsOfTexts is termsOf for texts one by one.
func termsOfTexts(texts []string) *native {
	t := newTerms(len(texts))
	var buf []byte
	for _, s := range texts {
		buf = append(buf[:0], s...)
		t.add(buf)
	}
	return t.native()
}

// termsOfNumbers is termsOf for numbers that stand for texts.
func termsOfNumbers[T ~uint8](numbers []T, text func(T) string) *native {
	t := newTerms(len(numbers))
	var known [256]bool
	var keys [256]uint32
	for _, n := range numbers {
		if !known[n] {
			t.add([]byte(text(n)))
			keys[n], known[n] = t.key, true
			continue
		}
		t.keys = append(t.keys, keys[n])
	}
	return t.native()
}

// instants returns a column of times in ns, DateTime64(9).
func instants(ns []int64) *native {
	b := make([]byte, 0, 8*len(ns))
	for _, t := range ns {
		b = binary.LittleEndian.AppendUint64(b, uint64(t))
	}
	return &native{len(ns), b}
}

// borrow returns b as a string without copying, valid while nobody writes to b.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
