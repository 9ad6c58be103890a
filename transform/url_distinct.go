package transform

import (
	"math"
	"math/bits"
	"slices"
)

const (
	distinctExact     = 64
	distinctPrecision = 10
	distinctRegisters = 1 << distinctPrecision
)

// distinct estimates how many distinct 64-bit hashes it was given: exactly up to
// 64, then by HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007; p = 10,
// standard error 3.25%) with linear counting for few. The sketches of package
// sketch are four times as large and there may be thousands of these.
type distinct struct {
	few  []uint64 // sorted; nil once there are registers
	regs *[distinctRegisters]uint8
}

func (d *distinct) add(hash uint64) {
	if d.regs != nil {
		d.raise(hash)
		return
	}
	i, found := slices.BinarySearch(d.few, hash)
	if found {
		return
	}
	if len(d.few) < distinctExact {
		d.few = slices.Insert(d.few, i, hash)
		return
	}
	d.dense()
	d.raise(hash)
}

// reset forgets all, and keeps memory for a few.
func (d *distinct) reset() { d.few, d.regs = d.few[:0], nil }

func (d *distinct) dense() {
	if d.regs != nil {
		return
	}
	d.regs = new([distinctRegisters]uint8)
	for _, h := range d.few {
		d.raise(h)
	}
	d.few = nil
}

func (d *distinct) raise(hash uint64) {
	rho := uint8(bits.LeadingZeros64(hash<<distinctPrecision|1<<(distinctPrecision-1))) + 1
	r := &d.regs[hash>>(64-distinctPrecision)]
	*r = max(*r, rho)
}

// merge adds all that was added to o, which stays as it is.
func (d *distinct) merge(o *distinct) {
	if o.regs == nil {
		for _, h := range o.few {
			d.add(h)
		}
		return
	}
	d.dense()
	for i, r := range o.regs {
		d.regs[i] = max(d.regs[i], r)
	}
}

func (d *distinct) estimate() int64 {
	if d.regs == nil {
		return int64(len(d.few))
	}
	const m = float64(distinctRegisters)
	sum, zeros := 0.0, 0
	for _, r := range d.regs {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}
