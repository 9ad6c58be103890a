package pipeline

import (
	"hash/maphash"
	"strings"
)

// memo remembers what was said of the stacks that came last, since a storm is the
// same one a hundred thousand times a second: reading, fingerprinting and writing
// a trace of 1 KB costs ten times what comparing it does. A text is kept when it
// comes for the second time, and compared as a whole, so that what is remembered
// is what would be computed. Of texts that differ in their messages only it remembers
// templates.
type memo struct {
	slots []*remembered // by hash
	once  []uint32      // parts of the hashes of texts that came once
	size  int           // bytes of all texts and reports
	// Which version of the fingerprint it remembers.
	version int

	templates templates
}

type remembered struct {
	hash uint64
	text string
	known
}

// Bounds of a memo beside its templates: 3 MiB of texts, none longer than 128 KiB.
const (
	memoSlots   = 1 << 10
	memoOnce    = 1 << 12
	maxMemo     = 3 << 20
	maxMemoText = 128 << 10
)

var memoSeed = maphash.MakeSeed() // which texts share a slot changes no result

// get returns what was said of a text, or nil, and the text's hash for put.
func (m *memo) get(version int, text string) (*known, uint64) {
	if m.slots == nil || m.version != version {
		*m = memo{slots: make([]*remembered, memoSlots), once: make([]uint32, memoOnce), version: version}
		m.templates = templates{sets: make([][templateWays]*template, templateSets), once: make([]uint32, memoOnce)}
	}
	if len(text) > maxMemoText {
		return nil, 0
	}
	h := maphash.String(memoSeed, text)
	if r := m.slots[h%memoSlots]; r != nil && r.hash == h && r.text == text {
		return &r.known, h
	}
	return nil, h
}

// put remembers k, if the text came before.
func (m *memo) put(h uint64, text string, k *known) {
	if len(text) > maxMemoText {
		return
	}
	if seen := &m.once[h%memoOnce]; *seen != uint32(h>>32) {
		*seen = uint32(h >> 32)
		return
	}
	m.keep(h, text, k)
}

// keep remembers k. What it keeps are copies.
func (m *memo) keep(h uint64, text string, k *known) {
	r := &remembered{hash: h, text: strings.Clone(text), known: *k}
	r.kind, r.message, r.cause, r.report = strings.Clone(k.kind), strings.Clone(k.message), strings.Clone(k.cause), strings.Clone(k.report)
	slot := &m.slots[h%memoSlots]
	m.size += r.bytes()
	if *slot != nil {
		m.size -= (*slot).bytes()
	}
	if *slot = r; m.size > maxMemo {
		clear(m.slots)
		*slot, m.size = r, r.bytes()
	}
}

func (r *remembered) bytes() int {
	return len(r.text) + len(r.kind) + len(r.message) + len(r.cause) + len(r.report) + 256
}
