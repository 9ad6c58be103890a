package duckdb

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync/atomic"
)

// indexFile is the index of one day table, as FORMAT.md has it.
type indexFile struct {
	path   string
	file   *os.File
	size   int64         // where the next block goes
	blocks []*indexBlock // by first row; they do not overlap
	bad    atomic.Bool   // a block is damaged
}

// indexBlock is the header of a block.
type indexBlock struct {
	first       int64 // number of the first row
	rows        uint32
	minutes     uint32 // entries of the list of minutes; uncounted: there is none
	blockBounds        // of the rows
	traces      uint32 // bytes of the filter of trace ids; 0: no row has one
	grams       uint32 // bytes of the map of grams; 0: none
	shapes      uint32 // bytes of the shapes and the rows' classes; 0: none
	counts      uint32 // entries of the list of counts; 0: none
	listed      uint32 // bytes of the list of fingerprints; 0: no row has one
	at          int64  // of the payload in the file
	checksum    uint32 // of the payload
	last        place  // of the last row, to know the table again
	verified    atomic.Bool
}

// uncounted says that the rows are of too many minutes to list them.
const uncounted = 1<<32 - 1

const (
	indexMagic      = "MRIX"
	indexVersion    = 3
	indexHeaderSize = 108
	minuteSize      = 24
	// maxIndexBlock bounds what a header may claim.
	maxIndexBlock = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (b *indexBlock) end() int64 { return b.first + int64(b.rows) }

func (b *indexBlock) minutesSize() int64 {
	if b.minutes == uncounted {
		return 0
	}
	return int64(b.minutes) * minuteSize
}

func (b *indexBlock) payloadSize() int64 {
	return b.minutesSize() + int64(b.traces) + int64(b.grams) + int64(b.shapes) + int64(b.counts)*classCountSize + int64(b.listed)
}

// shapesAt returns where in the file the shapes are.
func (b *indexBlock) shapesAt() int64 {
	return b.at + b.minutesSize() + int64(b.traces) + int64(b.grams)
}

// listAt returns where in the file the list of fingerprints is.
func (b *indexBlock) listAt() int64 { return b.at + b.payloadSize() - int64(b.listed) }

func (b *indexBlock) header() []byte {
	h := make([]byte, 0, indexHeaderSize)
	h = append(h, indexMagic...)
	h = append(h, indexVersion, 0, 0, 0)
	le := binary.LittleEndian
	h = le.AppendUint64(h, uint64(b.first))
	h = le.AppendUint32(h, b.rows)
	h = le.AppendUint32(h, b.minutes)
	h = le.AppendUint64(h, uint64(b.minTime))
	h = le.AppendUint64(h, uint64(b.maxTime))
	h = le.AppendUint32(h, b.traces)
	h = le.AppendUint32(h, b.grams)
	h = le.AppendUint64(h, uint64(b.last.time))
	h = le.AppendUint64(h, uint64(b.last.offset))
	h = le.AppendUint32(h, uint32(b.last.partition))
	h = le.AppendUint32(h, uint32(b.last.ordinal))
	h = le.AppendUint32(h, b.shapes)
	h = le.AppendUint32(h, b.counts)
	h = le.AppendUint64(h, uint64(b.minArrived))
	h = le.AppendUint64(h, uint64(b.maxArrived))
	h = le.AppendUint32(h, b.listed)
	h = le.AppendUint32(h, b.checksum)
	return le.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

var errIndexBlock = errors.New("not a whole block of the index")

// parseIndexBlock parses a header. at is where it begins in the file.
func parseIndexBlock(h []byte, at int64) (*indexBlock, error) {
	if len(h) < indexHeaderSize || string(h[:4]) != indexMagic || h[4] != indexVersion {
		return nil, errIndexBlock
	}
	le := binary.LittleEndian
	const sum = indexHeaderSize - 4
	if le.Uint32(h[sum:]) != crc32.Checksum(h[:sum], castagnoli) {
		return nil, errIndexBlock
	}
	b := &indexBlock{
		first: int64(le.Uint64(h[8:])), rows: le.Uint32(h[16:]), minutes: le.Uint32(h[20:]),
		blockBounds: blockBounds{
			minTime: int64(le.Uint64(h[24:])), maxTime: int64(le.Uint64(h[32:])),
			minArrived: int64(le.Uint64(h[80:])), maxArrived: int64(le.Uint64(h[88:])),
		},
		traces: le.Uint32(h[40:]), grams: le.Uint32(h[44:]),
		last: place{
			time: int64(le.Uint64(h[48:])), offset: int64(le.Uint64(h[56:])),
			partition: int32(le.Uint32(h[64:])), ordinal: int32(le.Uint32(h[68:])),
		},
		shapes: le.Uint32(h[72:]), counts: le.Uint32(h[76:]),
		listed: le.Uint32(h[96:]), checksum: le.Uint32(h[100:]), at: at + indexHeaderSize,
	}
	if b.shapes > 0 && int64(b.shapes) < int64(b.rows)+shapesHeader || b.listed > 0 && b.listed < listHeader {
		return nil, errIndexBlock
	}
	if b.first < 0 || b.rows == 0 || b.payloadSize() > maxIndexBlock || b.traces%filterLine != 0 || b.grams&(b.grams-1) != 0 {
		return nil, errIndexBlock
	}
	return b, nil
}

func createIndexFile(path string) (*indexFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, fmt.Errorf("create index: %w", err)
	}
	return &indexFile{path: path, file: file}, nil
}

// openIndexFile reads the headers up to the first that is not whole.
func openIndexFile(path string) (*indexFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	f := &indexFile{path: path, file: file}
	fi, err := file.Stat()
	if err != nil {
		return f, fmt.Errorf("open index: %w", err)
	}
	var h [indexHeaderSize]byte
	for {
		n, err := file.ReadAt(h[:], f.size)
		if err != nil && !errors.Is(err, io.EOF) {
			return f, fmt.Errorf("read index: %w", err)
		}
		b, err := parseIndexBlock(h[:n], f.size)
		if err != nil || b.at+b.payloadSize() > fi.Size() || !f.insert(b) {
			break // torn by a crash; the next block is written over it
		}
		f.size = b.at + b.payloadSize()
	}
	return f, nil
}

func (f *indexFile) close() {
	if f != nil {
		_ = f.file.Close() // nothing is buffered
	}
}

// insert keeps blocks in order; false if b overlaps another.
func (f *indexFile) insert(b *indexBlock) bool {
	i, _ := slices.BinarySearchFunc(f.blocks, b.first, func(b *indexBlock, first int64) int { return cmp.Compare(b.first, first) })
	if i > 0 && f.blocks[i-1].end() > b.first || i < len(f.blocks) && f.blocks[i].first < b.end() {
		return false
	}
	f.blocks = slices.Insert(f.blocks, i, b)
	return true
}

// add appends a block. A write that fails leaves the file as it was: what it
// left behind is written over.
func (f *indexFile) add(b *indexBlock, payload []byte) error {
	b.checksum, b.at = crc32.Checksum(payload, castagnoli), f.size+indexHeaderSize
	b.verified.Store(true)
	if _, err := f.file.WriteAt(append(b.header(), payload...), f.size); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	if !f.insert(b) {
		return fmt.Errorf("write index: rows %d to %d are there already", b.first, b.end())
	}
	f.size = b.at + int64(len(payload))
	return nil
}

// check compares the last block with the table, which may be an older copy or
// another one than that the index was made from.
func (f *indexFile) check(ctx context.Context, c *conn, g segment) error {
	if len(f.blocks) == 0 {
		return nil
	}
	b := f.blocks[len(f.blocks)-1]
	if b.end() > g.rows {
		return fmt.Errorf("it has %d rows, the table %d", b.end(), g.rows)
	}
	r, err := c.query(ctx, fmt.Sprintf(`SELECT time, "partition", "offset", ordinal FROM %s WHERE time = ? AND rowid = %d`,
		ident(g.name), b.end()-1), timeNS(b.last.time))
	if err != nil {
		return err
	}
	defer r.close()
	if !r.next() || (place{r.int64(0), int32(r.int64(1)), r.int64(2), int32(r.int64(3))}) != b.last {
		return cmp.Or(r.err, fmt.Errorf("row %d is another", b.end()-1))
	}
	return r.err
}

// verify reads the whole block once and compares its checksum: a crash of the
// machine may have left a header without what follows.
func (f *indexFile) verify(b *indexBlock) error {
	if b.verified.Load() {
		return nil
	}
	payload := make([]byte, b.payloadSize())
	if _, err := f.file.ReadAt(payload, b.at); err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	if crc32.Checksum(payload, castagnoli) != b.checksum {
		f.bad.Store(true)
		return fmt.Errorf("read index: the checksum of rows %d to %d is wrong", b.first, b.end())
	}
	b.verified.Store(true)
	return nil
}

// minuteCount is an entry of the list of minutes.
type minuteCount struct{ minute, events, weight int64 }

// readMinutes returns the block's list of minutes.
func (f *indexFile) readMinutes(b *indexBlock) ([]minuteCount, error) {
	if err := f.verify(b); err != nil {
		return nil, err
	}
	raw := make([]byte, b.minutesSize())
	if _, err := f.file.ReadAt(raw, b.at); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	out := make([]minuteCount, b.minutes)
	for i := range out {
		e := raw[i*minuteSize:]
		le := binary.LittleEndian
		out[i] = minuteCount{int64(le.Uint64(e)), int64(le.Uint64(e[8:])), int64(le.Uint64(e[16:]))}
	}
	return out, nil
}

// mayHaveTrace reports whether a row of the block may have the trace id with
// this hash.
func (f *indexFile) mayHaveTrace(b *indexBlock, hash uint64) (bool, error) {
	if b.traces == 0 {
		return false, nil
	}
	if err := f.verify(b); err != nil {
		return false, err
	}
	var line [filterLine]byte
	if _, err := f.file.ReadAt(line[:], b.at+b.minutesSize()+int64(filterLineOf(hash, b.traces))); err != nil {
		return false, fmt.Errorf("read index: %w", err)
	}
	return filterHas(&line, hash), nil
}

// mayHaveGrams reports whether the messages of the block may have all of grams.
func (f *indexFile) mayHaveGrams(b *indexBlock, grams []uint32) (bool, error) {
	if b.grams == 0 {
		return true, nil
	}
	if err := f.verify(b); err != nil {
		return false, err
	}
	var one [1]byte
	for _, g := range grams {
		bit := g & (b.grams*8 - 1)
		if _, err := f.file.ReadAt(one[:], b.at+b.minutesSize()+int64(b.traces)+int64(bit/8)); err != nil {
			return false, fmt.Errorf("read index: %w", err)
		}
		if one[0]>>(bit%8)&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// readShapes returns the block's shapes, nil if it has none.
func (f *indexFile) readShapes(b *indexBlock) (*shapeList, error) {
	if b.shapes == 0 {
		return nil, nil
	}
	if err := f.verify(b); err != nil {
		return nil, err
	}
	raw := make([]byte, int64(b.shapes)-int64(b.rows))
	if _, err := f.file.ReadAt(raw, b.shapesAt()); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return parseShapes(raw)
}

// readClasses returns the classes of the block's rows.
func (f *indexFile) readClasses(b *indexBlock) ([]uint8, error) {
	if err := f.verify(b); err != nil {
		return nil, err
	}
	out := make([]uint8, b.rows)
	if _, err := f.file.ReadAt(out, b.shapesAt()+int64(b.shapes)-int64(b.rows)); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return out, nil
}

// readCounts returns the block's list of counts.
func (f *indexFile) readCounts(b *indexBlock) ([]classCount, error) {
	if err := f.verify(b); err != nil {
		return nil, err
	}
	raw := make([]byte, int64(b.counts)*classCountSize)
	if _, err := f.file.ReadAt(raw, b.shapesAt()+int64(b.shapes)); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	out := make([]classCount, b.counts)
	for i := range out {
		e := raw[i*classCountSize:]
		le := binary.LittleEndian
		out[i] = classCount{le.Uint16(e), e[2], int64(le.Uint32(e[4:])), int64(le.Uint64(e[8:]))}
	}
	return out, nil
}
