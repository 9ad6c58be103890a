package sketch

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

const (
	sparseV1 = 0x21
	denseV1  = 0x31

	packedLen = registers / 2
	denseHead = 2  // first byte and base
	escape    = 15 // nibble of a register at base+15 or above
)

// AppendTo appends the canonical encoding of h (FORMAT.md) to dst and returns
// the extended slice, which shares nothing with h. It allocates only if dst
// lacks capacity.
func (h *HLL) AppendTo(dst []byte) []byte {
	switch n := len(h.buf) / entryBytes; {
	case h.dense:
		return appendRegisters(dst, h.buf)
	case n == int(h.sorted):
		return appendEntries(dst, words(h.buf))
	case n <= fewEntries:
		var few [fewEntries]uint32
		return appendEntries(dst, few[:sortFew(few[:], words(h.buf))])
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if list := s.distinct(h); len(list) <= MaxSparse {
		return appendEntries(dst, list)
	}
	return appendRegisters(dst, s.registersOf(h))
}

// maxEntryLen is the longest encoding of an entry: 28 bits and a run of zeros.
const maxEntryLen = 5

// appendEntries appends the encoding of sorted, distinct entries.
func appendEntries(dst []byte, list []uint32) []byte {
	if len(list) < 0x80 {
		dst = append(dst, sparseV1, uint8(len(list)))
	} else {
		dst = binary.AppendUvarint(append(dst, sparseV1), uint64(len(list)))
	}
	next := uint32(occupied) >> rhoBits // least index that may follow, and a 1
	if cap(dst)-len(dst) < maxEntryLen*len(list) {
		return appendTight(dst, list, next)
	}
	out, pos := dst[:cap(dst)], len(dst)
	for _, e := range list {
		index := e >> rhoBits
		// Without a branch on the length, which varies at random.
		gap, size := spread28(index - next)
		binary.LittleEndian.PutUint32(out[pos:], gap)
		pos += size
		if index&lowMask == 0 {
			out[pos] = uint8(e & rhoMask)
			pos++
		}
		next = index + 1
	}
	return out[:pos]
}

// appendTight is the loop of appendEntries for a buffer that may be too small.
func appendTight(dst []byte, list []uint32, next uint32) []byte {
	for _, e := range list {
		index := e >> rhoBits
		dst = binary.AppendUvarint(dst, uint64(index-next))
		if index&lowMask == 0 {
			dst = append(dst, uint8(e&rhoMask))
		}
		next = index + 1
	}
	return dst
}

func appendRegisters(dst, regs []byte) []byte {
	regs = regs[:registers]
	base := minRegister(regs)
	dst = append(dst, denseV1, base)
	start := len(dst)
	dst = slices.Grow(dst, packedLen)[:start+packedLen]
	for i := 0; i < registers; i += 8 {
		v := binary.LittleEndian.Uint64(regs[i:]) - uint64(base)*ones
		// Squeeze 8 bytes of at most 15 into 4.
		v = minBytes(v, escape*ones)
		v = (v | v>>4) & 0x00ff00ff00ff00ff
		v = (v | v>>8) & 0x0000ffff0000ffff
		binary.LittleEndian.PutUint32(dst[start+i/2:], uint32(v|v>>16))
	}
	for i := 0; i < packedLen; i += 8 {
		at := escapes(binary.LittleEndian.Uint64(dst[start+i:]))
		for ; at != 0; at &= at - 1 {
			dst = append(dst, regs[i*2+bits.TrailingZeros64(at)/4]-base-escape)
		}
	}
	return dst
}

// Decode replaces the contents of h by the sketch encoded in b, which must be
// exactly one canonical encoding; empty input is an error. It keeps no
// reference to b. On error, which wraps ErrCorrupt or ErrFormat, h is
// unchanged.
func (h *HLL) Decode(b []byte) error {
	if err := checkHLL(b); err != nil {
		return err
	}
	h.Reset()
	h.mergeValid(b)
	return nil
}

// MergeEncoded adds the sketch encoded in b to h without building it first.
// Its errors are those of Decode, and on error h is unchanged.
func (h *HLL) MergeEncoded(b []byte) error {
	if err := checkHLL(b); err != nil {
		return err
	}
	h.mergeValid(b)
	return nil
}

func (h *HLL) mergeValid(b []byte) {
	if b[0] == denseV1 {
		h.toDense()
		maxPacked(h.buf, b)
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	r, _ := readSparse(b)
	list := s.decoded[:r.left]
	for i := range list {
		list[i], _ = r.next()
	}
	h.mergeList(list, len(list))
}

// maxPacked raises regs to the registers of a valid dense encoding.
func maxPacked(regs, b []byte) {
	const low = 0x0f0f0f0f0f0f0f0f
	base := uint64(b[1]) * ones
	packed, excess := b[denseHead:denseHead+packedLen], b[denseHead+packedLen:]
	for i := 0; i < registers; i += 8 {
		// Spread 4 bytes to 8, one nibble each. An escaped register is
		// raised to base+15 here, which it is never below.
		v := uint64(binary.LittleEndian.Uint32(packed[i/2:]))
		v = (v | v<<16) & 0x0000ffff0000ffff
		v = (v | v<<8) & 0x00ff00ff00ff00ff
		v = (v | v<<4) & low
		p := regs[i : i+8]
		binary.LittleEndian.PutUint64(p, maxBytes(binary.LittleEndian.Uint64(p), v+base))
	}
	for i := 0; len(excess) > 0; i += 8 {
		for at := escapes(binary.LittleEndian.Uint64(packed[i:])); at != 0; at &= at - 1 {
			r := &regs[i*2+bits.TrailingZeros64(at)/4]
			*r = max(*r, b[1]+escape+excess[0])
			excess = excess[1:]
		}
	}
}

// escapes returns the lowest bit of each nibble of v that is 15.
func escapes(v uint64) uint64 {
	return v & (v >> 1) & (v >> 2) & (v >> 3) & 0x1111111111111111
}

// checkHLL accepts exactly the canonical encodings.
func checkHLL(b []byte) error {
	if len(b) == 0 {
		return corrupt("no bytes")
	}
	switch b[0] {
	case sparseV1:
		return checkSparse(b)
	case denseV1:
		return checkDense(b)
	}
	return badHeader(b[0], "a HyperLogLog of version 1")
}

func checkSparse(b []byte) error {
	r, err := readSparse(b)
	if err != nil {
		return err
	}
	for r.left > 0 {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	if r.pos != len(b) {
		return corrupt("%d bytes after the last entry", len(b)-r.pos)
	}
	return nil
}

func checkDense(b []byte) error {
	if len(b) < denseHead+packedLen || b[1] > maxRho {
		return corrupt("bad base or too few registers")
	}
	base, packed, excess := int(b[1]), b[denseHead:denseHead+packedLen], b[denseHead+packedLen:]
	zeros, escaped := registers, 0
	for i := 0; i < packedLen; i += 8 {
		v := binary.LittleEndian.Uint64(packed[i:])
		zeros -= registers/packedLen*8 - bits.OnesCount64(escapes(^v))
		escaped += bits.OnesCount64(escapes(v))
	}
	if zeros == 0 || base == 0 && zeros == registers {
		return corrupt("base %d is not the least register, or all are 0", base)
	}
	if escaped != len(excess) {
		return corrupt("%d large registers, not %d", len(excess), escaped)
	}
	largest := 0
	if base+escape > maxRho {
		for _, p := range packed {
			largest = max(largest, int(p&15), int(p>>4))
		}
	}
	for _, x := range excess {
		largest = max(largest, escape+int(x))
	}
	if base+largest > maxRho {
		return corrupt("register %d", base+largest)
	}
	return nil
}

// packedHistogram counts the registers of a valid dense encoding by value.
func packedHistogram(b []byte) (counts histogram) {
	var nibbles [16]uint32
	for _, p := range b[denseHead : denseHead+packedLen] {
		nibbles[p&15]++
		nibbles[p>>4]++
	}
	base := int(b[1])
	for k, n := range nibbles[:escape] {
		// The last values do not occur if base is large.
		counts[(base+k)&63] += n
	}
	for _, x := range b[denseHead+packedLen:] {
		counts[base+escape+int(x)]++
	}
	return counts
}

// sparseReader walks the entries of an encoded sparse HLL.
type sparseReader struct {
	b     []byte
	pos   int
	left  uint64 // entries to come
	least uint64 // least index that may come
}

func readSparse(b []byte) (sparseReader, error) {
	n, pos := uvarint(b, 1)
	if pos < 0 || n > MaxSparse {
		return sparseReader{}, corrupt("bad number of entries")
	}
	return sparseReader{b: b, pos: pos, left: n}, nil
}

func (r *sparseReader) next() (uint32, error) {
	gap, pos := uvarint(r.b, r.pos)
	if pos < 0 || gap > math.MaxUint32 || r.least+gap > indexMask {
		return 0, corrupt("bad index at byte %d", r.pos)
	}
	index := r.least + gap
	e := occupied | uint32(index)<<rhoBits
	if index&lowMask == 0 {
		if pos == len(r.b) || r.b[pos] == 0 || r.b[pos] > maxLowRho {
			return 0, corrupt("bad run of zeros after byte %d", r.pos)
		}
		e |= uint32(r.b[pos])
		pos++
	}
	r.pos, r.least = pos, index+1
	r.left--
	return e, nil
}
