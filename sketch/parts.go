package sketch

import (
	"encoding/binary"
	"slices"
)

// AppendHistParts appends the buckets of the histogram encoded in b to buckets, in
// ascending order, and their counts to counts: the form in which a database merges
// histograms itself, by adding counts bucket by bucket. Its errors are those of
// Hist.Decode; then what is returned is what came in.
func AppendHistParts(buckets []uint16, counts []uint64, b []byte) ([]uint16, []uint64, error) {
	if _, err := summarize(b); err != nil {
		return buckets, counts, err
	}
	for r, _ := readHist(b); r.left > 0; {
		bucket, count, _ := r.next()
		buckets, counts = append(buckets, uint16(bucket)), append(counts, count)
	}
	return buckets, counts, nil
}

// AppendHist appends the canonical encoding of the histogram that has these
// buckets, ascending, and counts. Counts above 2^63-1 stand for that: sums
// saturate there. ErrCorrupt: the lengths differ, buckets do not ascend, one is out
// of range, or a count is 0.
func AppendHist(dst []byte, buckets []uint16, counts []uint64) ([]byte, error) {
	if len(buckets) != len(counts) {
		return dst, corrupt("%d buckets and %d counts", len(buckets), len(counts))
	}
	prev := -1
	for i, b := range buckets {
		if int(b) <= prev || b >= numBuckets || counts[i] == 0 {
			return dst, corrupt("bucket %d with count %d after bucket %d", b, counts[i], prev)
		}
		prev = int(b)
	}
	dst = append(dst, histV1)
	dst = binary.AppendUvarint(dst, uint64(len(buckets)))
	prev = -1
	for i, b := range buckets {
		dst = appendCell(dst, int(b)-prev-1, min(counts[i], maxCount))
		prev = int(b)
	}
	return dst, nil
}

// Numbers that a database needs to merge HyperLogLogs as HLLParts and to read
// them.
const (
	Registers = registers // of a dense HLL
	MaxRank   = maxRho    // of a register
	// LowBits of an index follow those that name the register.
	LowBits = lowBits
	// RankBits of a code in HLLParts.Long hold the rank.
	RankBits = rhoBits
)

// HLLParts is an HLL in the form in which a database merges many of them itself.
// The union of several is: the union of Indexes, all of Long, and the larger of
// each pair of Registers. AppendTo makes of such a union what merging the HLLs
// gives, and accepts it in any order and with repetitions.
type HLLParts struct {
	// Indexes are those of a sparse HLL but for the multiples of 2^LowBits: all
	// hashes with one of these put the same rank into the same register.
	Indexes []uint32
	// Long holds the others, as register<<RankBits | rank: what the index does not
	// tell is the rank, which is above LowBits.
	Long []uint32
	// Registers are those of a dense HLL; empty if it is sparse.
	Registers []byte
}

// Decode replaces the parts by those of the HLL encoded in b, in ascending order.
// It reuses their memory. Its errors are those of HLL.Decode; then p is unchanged.
func (p *HLLParts) Decode(b []byte) error {
	if err := checkHLL(b); err != nil {
		return err
	}
	p.Indexes, p.Long, p.Registers = p.Indexes[:0], p.Long[:0], p.Registers[:0]
	if b[0] == denseV1 {
		p.Registers = slices.Grow(p.Registers, registers)[:registers]
		clear(p.Registers)
		maxPacked(p.Registers, b)
		return nil
	}
	for r, _ := readSparse(b); r.left > 0; {
		e, _ := r.next()
		if reg, rank := register(e); rank > lowBits {
			p.Long = append(p.Long, uint32(reg)<<rhoBits|uint32(rank))
		} else {
			p.Indexes = append(p.Indexes, e>>rhoBits&indexMask)
		}
	}
	return nil
}

// Empty reports whether nothing was added.
func (p *HLLParts) Empty() bool { return len(p.Indexes)+len(p.Long)+len(p.Registers) == 0 }

// AppendTo appends the canonical encoding of the HLL. It may reorder Indexes and
// Long, and drops repetitions. ErrCorrupt: a value that no HLL has.
func (p *HLLParts) AppendTo(dst []byte) ([]byte, error) {
	if err := p.check(); err != nil {
		return dst, err
	}
	slices.Sort(p.Indexes)
	p.Indexes = slices.Compact(p.Indexes)
	slices.Sort(p.Long)
	p.Long = lastOfRegister(p.Long)
	if len(p.Registers) == 0 && len(p.Indexes)+len(p.Long) <= MaxSparse {
		var room [MaxSparse]uint32
		return appendEntries(dst, p.entries(room[:0])), nil
	}
	var regs [registers]byte
	copy(regs[:], p.Registers)
	for _, index := range p.Indexes {
		reg, rank := register(occupied | index<<rhoBits)
		regs[reg] = max(regs[reg], rank)
	}
	for _, code := range p.Long {
		reg := code >> rhoBits
		regs[reg] = max(regs[reg], uint8(code&rhoMask))
	}
	return appendRegisters(dst, regs[:]), nil
}

func (p *HLLParts) check() error {
	for _, index := range p.Indexes {
		if index > indexMask || index&lowMask == 0 {
			return corrupt("index %d", index)
		}
	}
	for _, code := range p.Long {
		if rank := code & rhoMask; code>>rhoBits >= registers || rank <= lowBits || rank > maxRho {
			return corrupt("register %d with rank %d", code>>rhoBits, rank)
		}
	}
	if n := len(p.Registers); n != 0 && n != registers {
		return corrupt("%d registers", n)
	}
	some := len(p.Registers) == 0 || len(p.Indexes)+len(p.Long) > 0
	for _, rank := range p.Registers {
		if rank > maxRho {
			return corrupt("register with rank %d", rank)
		}
		some = some || rank > 0
	}
	if !some {
		return corrupt("all registers are 0")
	}
	return nil
}

// lastOfRegister keeps, of sorted codes, the one with the largest rank of each
// register.
func lastOfRegister(codes []uint32) []uint32 {
	out := codes[:0]
	for i, code := range codes {
		if i+1 == len(codes) || codes[i+1]>>rhoBits != code>>rhoBits {
			out = append(out, code)
		}
	}
	return out
}

// entries merges Indexes and Long, both sorted and distinct, to sparse entries.
func (p *HLLParts) entries(out []uint32) []uint32 {
	i := 0
	for _, code := range p.Long {
		index := code >> rhoBits << lowBits
		for ; i < len(p.Indexes) && p.Indexes[i] < index; i++ {
			out = append(out, occupied|p.Indexes[i]<<rhoBits)
		}
		out = append(out, occupied|index<<rhoBits|(code&rhoMask-lowBits))
	}
	for ; i < len(p.Indexes); i++ {
		out = append(out, occupied|p.Indexes[i]<<rhoBits)
	}
	return out
}

// Numbers of the mapping, for a database that answers quantiles from the buckets of
// AppendHistParts: bucket ZeroBucket is 0, those around it are apart by
// PerOctave to a power of two, and the least magnitude is 2^MinExponent.
const (
	ZeroBucket  = int(zeroBucket)
	PerOctave   = perOctave
	MinExponent = minExp
)

// OctaveMantissas returns the lower bounds of the buckets of an octave as the 52
// mantissa bits of a float64, and the end of the octave, 2^52.
func OctaveMantissas() []uint64 { return slices.Clone(octave[:]) }

// BucketValues returns, by bucket, what Quantile answers for a value in it.
func BucketValues() []float64 {
	out := make([]float64, numBuckets)
	for i := range out {
		out[i] = Bucket(i).value()
	}
	return out
}
