package duckdb

import (
	"cmp"
	"fmt"
	"strings"
	"unsafe"

	"github.com/millrace/millrace"
)

// Cells hold numbers in place of texts. values_NAME has the number of every
// text that a dimension of the rollup had, whatever the dimension; 0 is no text.
// Numbers are given in the order in which texts are first stored. One does not
// change its meaning while a cell has it.
//
// Against columns of text this halves the CPU of a flush and thirds that of
// compaction, since integers are compressed, hashed and compared at a fraction
// of the cost.

// trust says whether a copy in memory of what a table holds is to be believed:
// while owner is 0. A write calls distrust before it changes anything; settle
// undoes it once that write is known to be committed. Under DB.writeMu.
type trust struct{ owner, last int64 }

// distrust makes the next write read the table, unless settle is called with
// the owner returned.
func (t *trust) distrust() (owner int64) {
	t.last++
	t.owner = t.last
	return t.owner
}

// pledge is a distrust that can be settled.
type pledge struct {
	of    *trust
	owner int64
}

// settle declares the transaction that made the pledges committed.
func (db *DB) settle(pledges []pledge) {
	db.writeMu.Lock()
	for _, c := range pledges {
		if c.of.owner == c.owner {
			c.of.owner = 0
		}
	}
	db.writeMu.Unlock()
}

// vocabulary is values_NAME in memory, as much as was used lately. Under
// DB.writeMu.
type vocabulary struct {
	trust
	next  uint32 // number of the next new text
	whole bool   // what is not here is not in the table either

	// A text that is found in old moves to young. When young is full it becomes
	// old, so that what was not used for that long is forgotten.
	young, old map[string]uint32
}

// vocabularySize bounds each half of a vocabulary, at about 100 bytes a text.
const vocabularySize = 1 << 17

func (db *DB) vocabularySize() int64 { return cmp.Or(db.rollups.vocabularySize, vocabularySize) }

// vocabularyOf returns the vocabulary of a rollup and the pledge on it of the
// open transaction.
func (db *DB) vocabularyOf(w *writer, k *cube) (*vocabulary, pledge, error) {
	if db.rollups.words == nil {
		db.rollups.words = map[string]*vocabulary{}
	}
	v := db.rollups.words[k.schema.Name]
	if v == nil {
		v = &vocabulary{}
		db.rollups.words[k.schema.Name] = v
	}
	if v.young == nil || v.owner != 0 {
		if err := v.load(w, k, db.vocabularySize()); err != nil {
			v.young = nil
			return nil, pledge{}, err
		}
	}
	return v, pledge{&v.trust, v.distrust()}, nil
}

// load reads the table, if it fits.
func (v *vocabulary) load(w *writer, k *cube, size int64) error {
	v.young, v.old, v.whole = map[string]uint32{}, nil, false
	n := int64(0)
	err := each(w.ctx, w.c, "SELECT count(*), coalesce(max(code), 0)::BIGINT FROM "+k.values(), func(r *rows) error {
		n, v.next = r.int64(0), uint32(r.int64(1))+1
		return nil
	})
	if err != nil || n > size {
		return err
	}
	v.whole = true
	return each(w.ctx, w.c, "SELECT code::BIGINT, value FROM "+k.values(), func(r *rows) error {
		v.young[r.str(1)] = uint32(r.int64(0))
		return nil
	})
}

// age forgets what was not used for long. Between flushes only: within one
// every text keeps its place.
func (v *vocabulary) age(size int64) {
	if int64(len(v.young)) > size {
		v.old, v.young, v.whole = v.young, map[string]uint32{}, false
	}
}

// find returns the number of a text, if it is here.
func (v *vocabulary) find(s string) (uint32, bool) {
	code, ok := v.young[s]
	if !ok && v.old != nil {
		if code, ok = v.old[s]; ok {
			v.young[strings.Clone(s)] = code
		}
	}
	return code, ok
}

// coder turns the texts of one flush of a rollup into numbers.
type coder struct {
	v     *vocabulary
	memo  []memo
	fresh []string // new texts, numbered from v.next-len(fresh) on
}

// memo remembers a text by where it lies. The engine hands out the same string
// for every cell with that value, so this finds nearly all of them, at a tenth
// of the cost of hashing.
type memo struct {
	data *byte // keeps the text from being freed, and its address from being reused
	size int
	code uint32
}

const memoBits = 13

func newCoder(v *vocabulary) *coder { return &coder{v: v, memo: make([]memo, 1<<memoBits)} }

func (c *coder) slot(s string) *memo {
	return &c.memo[uint64(uintptr(unsafe.Pointer(unsafe.StringData(s))))*0x9e3779b97f4a7c15>>(64-memoBits)]
}

// code returns the number of a text, which is new if the vocabulary does not
// have it: if that is not whole, learn comes first.
func (c *coder) code(s string) uint32 {
	m := c.slot(s)
	if m.data == unsafe.StringData(s) && m.size == len(s) && m.code != 0 {
		return m.code
	}
	code, ok := c.v.find(s)
	if !ok {
		code = c.add(s)
	}
	*m = memo{unsafe.StringData(s), len(s), code}
	return code
}

// add numbers a new text. One that is not valid UTF-8 is stored repaired, as
// the same text as others that are repaired to it.
func (c *coder) add(s string) uint32 {
	valid := validText(s)
	code, ok := c.v.find(valid)
	if !ok {
		code = c.v.next
		c.v.next++
		valid = strings.Clone(valid)
		c.v.young[valid] = code
		c.fresh = append(c.fresh, valid)
	}
	if valid != s {
		c.v.young[strings.Clone(s)] = code
	}
	return code
}

// learn looks up what the vocabulary does not have.
func (c *coder) learn(w *writer, k *cube, batches []*millrace.CellBatch) error {
	missing := map[string]bool{}
	for _, b := range batches {
		for _, texts := range b.Dims {
			c.collect(texts, missing)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := w.exec("CREATE TEMP TABLE wanted_values (value VARCHAR)"); err != nil {
		return err
	}
	if err := appendTexts(w.c, "wanted_values", missing); err != nil {
		return err
	}
	err := each(w.ctx, w.c, "SELECT code::BIGINT, value FROM "+k.values()+" SEMI JOIN wanted_values USING (value)", func(r *rows) error {
		c.v.young[r.str(1)] = uint32(r.int64(0))
		return nil
	})
	if err == nil {
		_, err = w.exec("DROP TABLE wanted_values")
	}
	return err
}

// collect adds the texts that the vocabulary does not have.
func (c *coder) collect(texts []string, missing map[string]bool) {
	for _, s := range texts {
		m := c.slot(s)
		if s != "" && m.data == unsafe.StringData(s) && m.size == len(s) { // the empty text looks like an empty slot
			continue
		}
		*m = memo{data: unsafe.StringData(s), size: len(s)} // seen, without a number
		if _, ok := c.v.find(s); !ok {
			missing[validText(s)] = true
		}
	}
}

// appendTexts fills a temporary table of one column.
func appendTexts(c *conn, name string, texts map[string]bool) error {
	t, err := newTableIn(c, "temp", name)
	if err != nil {
		return err
	}
	defer t.release()
	column := make([]string, 0, len(texts))
	for s := range texts {
		column = append(column, s)
	}
	err = chunks(len(column), func(from, k int) error {
		t.strings(0, column[from:from+k])
		return t.emit(k)
	})
	if err == nil {
		err = t.flush()
	}
	return err
}

// store appends the new texts to the table.
func (c *coder) store(w *writer, k *cube) error {
	if len(c.fresh) == 0 {
		return nil
	}
	if c.v.next < uint32(len(c.fresh)) {
		return fmt.Errorf("rollup %s: more than 4 billion values", k.schema.Name)
	}
	t, err := w.table("values_" + k.schema.Name)
	if err != nil {
		return err
	}
	next := c.v.next - uint32(len(c.fresh))
	return chunks(len(c.fresh), func(from, n int) error {
		codes := t.uint32s(0, n)
		for i := range codes {
			codes[i] = next
			next++
		}
		t.strings(1, c.fresh[from:from+n])
		return t.emit(n)
	})
}
