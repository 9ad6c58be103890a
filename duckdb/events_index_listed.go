package duckdb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	mathbits "math/bits"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// The list of fingerprints tells which rows of a block have which fingerprint, and
// when they were. A filter of hashes would not do: an issue that goes on all day is
// in every block, with a row or two among 122,880, and to look at the attributes of
// a block takes 50 ms.

const (
	// maxListed bounds the fingerprints of a block and maxListedBytes one's text. Rows
	// of others are listed as those to look at.
	maxListed      = 16_384
	maxListedBytes = 128
	// unlisted is in place of a fingerprint that is not in the list.
	unlisted = 1<<32 - 1
)

// listing gathers the list of fingerprints of a block.
type listing struct {
	at map[string]uint32 // indexes in texts
	listed
}

// listed is what a listing has so far. What is there stays as it is when more comes.
type listed struct {
	texts []string // fingerprints, in the order in which they came
	rows  []listedRow
}

// listedRow is a row with a fingerprint.
type listedRow struct {
	time int64  // of the event, ns
	row  uint32 // its place in the block
	text uint32 // index in texts, or unlisted
}

// fingerprintKey is how the member begins in attributes, as AppendAttrs writes them.
var fingerprintKey = []byte(`"` + millrace.AttrFingerprint + `":`)

// addRows lists rows from to to, the first of which has place in the block. All
// their attributes are searched at once for the few that have a fingerprint.
func (l *listing) addRows(attrs *millrace.Strings, times []int64, from, to int, place uint32) {
	at, row := uint32(0), from
	if from > 0 {
		at = attrs.End[from-1]
	}
	for end := attrs.End[to-1]; at < end; {
		i := bytes.Index(attrs.Data[at:end], fingerprintKey)
		if i < 0 {
			return
		}
		for attrs.End[row] <= at+uint32(i) {
			row++
		}
		l.add(attrs.At(row), clampNS(times[row]), place+uint32(row-from))
		at = attrs.End[row]
	}
}

// add lists a row if attrs has a fingerprint.
func (l *listing) add(attrs []byte, t int64, row uint32) {
	text, ok, listable := fingerprintOf(attrs)
	if !ok {
		return
	}
	n := uint32(unlisted)
	if listable {
		n = l.index(text)
	}
	l.rows = append(l.rows, listedRow{t, row, n})
}

func (l *listing) index(text []byte) uint32 {
	if n, ok := l.at[string(text)]; ok {
		return n
	}
	if len(l.texts) == maxListed {
		return unlisted
	}
	if l.at == nil {
		l.at = map[string]uint32{}
	}
	n, own := uint32(len(l.texts)), string(text)
	l.at[own], l.texts = n, append(l.texts, own)
	return n
}

// fingerprintOf returns the fingerprint of an event with the attributes attrs,
// whether it has one, and whether it can be listed: that all who read it take it
// for the same text.
func fingerprintOf(attrs []byte) (text []byte, ok, listable bool) {
	if !bytes.Contains(attrs, fingerprintKey) {
		return nil, false, false
	}
	whole := millrace.EachAttr(attrs, func(key, raw []byte) bool {
		if string(key) != millrace.AttrFingerprint {
			return true
		}
		ok = true
		if len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
			text = raw[1 : len(raw)-1]
		}
		return false
	})
	if !ok {
		return nil, !whole, false // a stranger's JSON is looked at
	}
	if text != nil && len(text) == 0 {
		return nil, false, false // as good as none
	}
	listable = text != nil && len(text) <= maxListedBytes && strings.ToValidUTF8(string(text), "\uFFFD") == string(text)
	return text, true, listable
}

// view returns what is listed so far.
func (l *listing) view() listed { return listed{slices.Clip(l.texts), slices.Clip(l.rows)} }

// rowTime is a row, by its place in its block, and the time of its event.
type rowTime struct {
	row  uint32
	time int64
}

// find returns the rows that may have one of the fingerprints, and whether all have.
func (l *listed) find(p *listProbe) (rows []rowTime, exact bool) {
	wanted := make([]bool, len(l.texts))
	for i, t := range l.texts {
		_, wanted[i] = p.values[t]
	}
	exact = true
	for _, r := range l.rows {
		if r.text == unlisted {
			exact = false
		} else if !wanted[r.text] {
			continue
		}
		rows = append(rows, rowTime{r.row, r.time})
	}
	return rows, exact
}

// The sizes of what FORMAT.md describes.
const (
	listHeader = 12
	listEntry  = 16
)

// listHash is the hash by which fingerprints are looked up.
func listHash(text string) uint64 { return traceHash(textHash(text)) }

// append appends the list as FORMAT.md has it; nothing if no row has a fingerprint.
func (l *listing) append(dst []byte) []byte {
	if len(l.rows) == 0 {
		return dst
	}
	type entry struct {
		hash uint64
		text uint32
	}
	entries := make([]entry, len(l.texts))
	for i, t := range l.texts {
		entries[i] = entry{listHash(t), uint32(i)}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(l.texts[a.text], l.texts[b.text]))
	})
	// The rows by the order of their fingerprint, those without one in the list last.
	rank := make([]uint32, len(entries))
	for i, e := range entries {
		rank[e.text] = uint32(i)
	}
	ends := make([]uint32, len(entries)+1)
	order := func(r listedRow) uint32 {
		if r.text == unlisted {
			return uint32(len(entries))
		}
		return rank[r.text]
	}
	for _, r := range l.rows {
		ends[order(r)]++
	}
	next := make([]uint32, len(ends))
	for i := range ends {
		if i > 0 {
			next[i] = ends[i-1]
			ends[i] += ends[i-1]
		}
	}
	sorted := make([]listedRow, len(l.rows))
	for _, r := range l.rows {
		o := order(r)
		sorted[next[o]] = r
		next[o]++
	}

	le := binary.LittleEndian
	bytesOf := 0
	for _, t := range l.texts {
		bytesOf += len(t)
	}
	dst = le.AppendUint32(dst, uint32(len(entries)))
	dst = le.AppendUint32(dst, uint32(bytesOf))
	dst = le.AppendUint32(dst, uint32(len(sorted)))
	end := uint32(0)
	for i, e := range entries {
		end += uint32(len(l.texts[e.text]))
		dst = le.AppendUint64(dst, e.hash)
		dst = le.AppendUint32(dst, end)
		dst = le.AppendUint32(dst, ends[i])
	}
	for _, e := range entries {
		dst = append(dst, l.texts[e.text]...)
	}
	for _, r := range sorted {
		dst = le.AppendUint32(dst, r.row)
	}
	for _, r := range sorted {
		dst = le.AppendUint64(dst, uint64(r.time))
	}
	return dst
}

var errListed = errors.New("read index: a list of fingerprints that is none")

// listFile reads the list of a block in its file.
type listFile struct {
	f                  *indexFile
	at                 int64 // where in the file the list begins
	texts, bytes, rows uint32
	entries            []byte
	rowCount           uint32 // of the block
}

// openList reads the head of a block's list.
func (f *indexFile) openList(b *indexBlock) (*listFile, error) {
	if err := f.verify(b); err != nil {
		return nil, err
	}
	l := &listFile{f: f, at: b.listAt(), rowCount: b.rows}
	var head [listHeader]byte
	if err := l.read(head[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	l.texts, l.bytes, l.rows = le.Uint32(head[:]), le.Uint32(head[4:]), le.Uint32(head[8:])
	size := listHeader + int64(l.texts)*listEntry + int64(l.bytes) + int64(l.rows)*12
	if l.texts > maxListed || l.rows > b.rows || size != int64(b.listed) {
		return nil, errListed
	}
	l.entries = make([]byte, l.texts*listEntry)
	return l, l.read(l.entries, listHeader)
}

func (l *listFile) read(into []byte, at int64) error {
	if _, err := l.f.file.ReadAt(into, l.at+at); err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	return nil
}

func (l *listFile) hash(i uint32) uint64 {
	return binary.LittleEndian.Uint64(l.entries[i*listEntry:])
}

// ends returns where an entry's text and rows begin and end.
func (l *listFile) ends(i uint32) (text, textEnd, row, rowEnd uint32, err error) {
	le := binary.LittleEndian
	if i > 0 {
		e := l.entries[(i-1)*listEntry:]
		text, row = le.Uint32(e[8:]), le.Uint32(e[12:])
	}
	if i == l.texts { // the rows without a text
		return l.bytes, l.bytes, row, l.rows, nil
	}
	e := l.entries[i*listEntry:]
	textEnd, rowEnd = le.Uint32(e[8:]), le.Uint32(e[12:])
	if text > textEnd || textEnd > l.bytes || row > rowEnd || rowEnd > l.rows {
		err = errListed
	}
	return text, textEnd, row, rowEnd, err
}

// find returns the rows that may have one of the fingerprints, by their place, and
// whether all have.
func (l *listFile) find(p *listProbe) (rows []rowTime, exact bool, err error) {
	for _, h := range p.hashes {
		for i := l.search(h); i < l.texts && l.hash(i) == h; i++ {
			text, textEnd, row, rowEnd, err := l.ends(i)
			if err != nil {
				return nil, false, err
			}
			got := make([]byte, textEnd-text)
			if err := l.read(got, listHeader+int64(l.texts)*listEntry+int64(text)); err != nil {
				return nil, false, err
			}
			if _, ok := p.values[string(got)]; !ok {
				continue
			}
			if rows, err = l.appendRows(rows, row, rowEnd); err != nil {
				return nil, false, err
			}
		}
	}
	_, _, row, rowEnd, err := l.ends(l.texts)
	if err != nil {
		return nil, false, err
	}
	if rows, err = l.appendRows(rows, row, rowEnd); err != nil {
		return nil, false, err
	}
	slices.SortFunc(rows, func(a, b rowTime) int { return cmp.Compare(a.row, b.row) })
	return rows, row == rowEnd, nil
}

// search returns the first entry whose hash is at least h.
func (l *listFile) search(h uint64) uint32 {
	lo, hi := uint32(0), l.texts
	if l.texts > 0 { // hashes are spread evenly: most of the way in one step
		guess, _ := mathbits.Mul64(h, uint64(l.texts))
		const near = 32
		g := uint32(guess)
		if from := g - min(g, near); l.hash(from) < h {
			lo = from
		}
		if to := min(g+near, l.texts-1); l.hash(to) >= h {
			hi = to
		}
	}
	for lo < hi {
		mid := (lo + hi) / 2
		if l.hash(mid) < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// appendRows appends the rows from to to of the list.
func (l *listFile) appendRows(dst []rowTime, from, to uint32) ([]rowTime, error) {
	if from == to {
		return dst, nil
	}
	base := listHeader + int64(l.texts)*listEntry + int64(l.bytes)
	places, times := make([]byte, 4*(to-from)), make([]byte, 8*(to-from))
	if err := l.read(places, base+4*int64(from)); err != nil {
		return nil, err
	}
	if err := l.read(times, base+4*int64(l.rows)+8*int64(from)); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	for i := range int(to - from) {
		r := rowTime{le.Uint32(places[4*i:]), int64(le.Uint64(times[8*i:]))}
		if r.row >= l.rowCount {
			return nil, errListed
		}
		dst = append(dst, r)
	}
	return dst, nil
}
