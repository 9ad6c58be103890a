package duckdb

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/millrace/millrace"
)

// A shape is what messages have in common that differ in their numbers only: the
// message with shapeHole for every run of digits. Programs say the same few things
// over and over, so that a block has some dozens; with the shapes of a block and
// the class of each of its rows, a number that stands for its shape, most words
// and phrases need no message to be looked into, and the counts per class and
// minute none of the rows.
//
// Class 0 is of rows whose messages have no shape here: not ASCII, too long, or one
// of too many. If they are more than a few, the block has no shapes at all.
const (
	shapeHole  = 0xFF // no byte of ASCII
	maxShapes  = 255
	shapeBytes = 512      // of one message
	shapesSize = 32 << 10 // of all of a block
	// fewOthers is the share of rows, one in so many, that may be of class 0, and
	// someOthers how many may be however few rows there are yet.
	fewOthers, someOthers = 8, 2048
)

// shapeSet gathers the shapes of a block.
type shapeSet struct {
	class  map[string]uint8
	list   []string // of classes 1 and on
	size   int
	others uint32 // rows of class 0
	off    bool
	buf    []byte
}

// of returns the class of a message.
func (s *shapeSet) of(m []byte) uint8 {
	if s.off || len(m) > shapeBytes {
		return 0
	}
	var ok bool
	if s.buf, ok = appendShape(s.buf[:0], m); !ok {
		return 0
	}
	if c := s.class[string(s.buf)]; c > 0 {
		return c
	}
	if len(s.list) == maxShapes || s.size+len(s.buf) > shapesSize {
		return 0
	}
	if s.class == nil {
		s.class = map[string]uint8{}
	}
	text := string(s.buf)
	s.list, s.size = append(s.list, text), s.size+len(text)
	s.class[text] = uint8(len(s.list))
	return uint8(len(s.list))
}

// other counts a row of class 0 of a block that has rows so far, and reports
// whether shapes are still worth the while.
func (s *shapeSet) other(rows int) bool {
	s.others++
	if s.others > someOthers && int(s.others) > rows/fewOthers {
		s.off = true
	}
	return !s.off
}

// appendShape appends the shape of a text; false if it is not ASCII.
func appendShape[T string | []byte](dst []byte, text T) ([]byte, bool) {
	digit := false
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 0x80:
			return dst, false
		case c >= '0' && c <= '9':
			if !digit {
				dst = append(dst, shapeHole)
			}
			digit = true
		default:
			dst = append(dst, c)
			digit = false
		}
	}
	return dst, true
}

// shapeList is the shapes of a block as stored.
type shapeList struct {
	others uint32   // rows of class 0
	texts  []string // of class 1 and on
}

// shapesHeader is the size of what stands before the texts: their size and others.
const shapesHeader = 8

// append appends what parseShapes parses.
func (s *shapeSet) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, shapesHeader)...)
	for _, t := range s.list {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(t)))
		dst = append(dst, t...)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-shapesHeader))
	binary.LittleEndian.PutUint32(dst[at+4:], s.others)
	return dst
}

var errShapes = errors.New("read index: shapes that are none")

func parseShapes(raw []byte) (*shapeList, error) {
	if len(raw) < shapesHeader {
		return nil, errShapes
	}
	le := binary.LittleEndian
	l, rest := &shapeList{others: le.Uint32(raw[4:])}, raw[shapesHeader:]
	all := string(rest)
	for at := 0; at < len(rest); {
		if len(rest)-at < 2 {
			return nil, errShapes
		}
		n := int(le.Uint16(rest[at:]))
		if at += 2; n > len(rest)-at || len(l.texts) == maxShapes {
			return nil, errShapes
		}
		l.texts = append(l.texts, all[at:at+n])
		at += n
	}
	return l, nil
}

// verdict says whether rows match: no row, some may, all of them. Its order makes
// "and" the least and "or" the greatest.
type verdict uint8

const (
	never verdict = iota
	maybe
	always
)

// textProbe is a condition over the message.
type textProbe struct {
	filter *millrace.Filter
	grams  []uint32 // that the message has if it matches
	number []uint32 // those of them that have digits
	digits bool     // the value has some: what a hole stands for may be them or not
	ascii  bool     // the value is, in small letters
	shape  *folder  // FilterText: looks for the value's shape
}

func newTextProbe(f *millrace.Filter) *textProbe {
	t := &textProbe{filter: f, digits: strings.ContainsAny(f.Value, "0123456789"), ascii: isASCII(f.Value)}
	switch f.Op {
	case millrace.FilterText:
		word := strings.ToLower(f.Value)
		shape, ok := appendShape(nil, word)
		t.ascii, t.shape = ok, newFolder(shape)
		t.addGrams(word)
	case millrace.FilterGlob:
		for _, part := range strings.Split(f.Value, "*") {
			t.addGrams(part)
		}
	default: // FilterEq
		t.addGrams(f.Value)
	}
	return t
}

func (t *textProbe) addGrams(text string) {
	t.grams = append(t.grams, gramsOf(text, true)...)
	t.number = append(t.number, gramsOf(text, false)...)
}

// of returns what is known of messages of a shape.
//
// What of the value is no digit can only lie in a message where the shape has it,
// and its runs of digits only in holes: one in the middle must fill its hole, one at
// an end may be a part of it. So a message can contain the value only if its shape
// contains the value's; and does, if there are no digits in it.
func (t *textProbe) of(shape string) verdict {
	switch {
	case !t.ascii: // shapes are of messages in ASCII
		return never
	case t.shape != nil && !t.shape.in([]byte(shape)):
		return never
	case t.digits:
		return maybe
	case t.shape != nil:
		return always
	}
	return sure(t.filter.Match(func(string) string { return shape }))
}

func sure(yes bool) verdict {
	if yes {
		return always
	}
	return never
}
