package sketch

import (
	"encoding/binary"
	"math"
)

// maxRegisters sets each register of dst to the larger of both.
func maxRegisters(dst, src []byte) {
	dst, src = dst[:registers], src[:registers]
	for i := 0; i < registers; i += 8 {
		a := binary.LittleEndian.Uint64(dst[i:])
		b := binary.LittleEndian.Uint64(src[i:])
		binary.LittleEndian.PutUint64(dst[i:], maxBytes(a, b))
	}
}

// ones times a byte is that byte eight times.
const ones = 0x0101010101010101

// maxBytes returns the larger of each pair of bytes, all of them below 128.
func maxBytes(a, b uint64) uint64 {
	mask := notBelow(a, b)
	return a&mask | b&^mask
}

// minBytes returns the smaller of each pair of bytes, all of them below 128.
func minBytes(a, b uint64) uint64 {
	mask := notBelow(a, b)
	return b&mask | a&^mask
}

// notBelow sets the bytes in which a >= b to 255, the others to 0.
func notBelow(a, b uint64) uint64 {
	// The high bit of each byte survives the subtraction where a >= b.
	return (((a | 0x80*ones) - b) >> 7 & ones) * 0xff
}

// minRegister returns the least register. That is 0 nearly always, which is
// soon found out.
func minRegister(regs []byte) uint8 {
	v := uint64(maxRho * ones)
	for part := regs[:registers]; len(part) > 0; part = part[64:] {
		for i := 0; i < 64; i += 8 {
			v = minBytes(v, binary.LittleEndian.Uint64(part[i:]))
		}
		if (v-ones)&^v&(0x80*ones) != 0 {
			return 0
		}
	}
	v = minBytes(v, v>>32)
	v = minBytes(v, v>>16)
	return uint8(minBytes(v, v>>8))
}

// histogram counts registers by value.
type histogram [64]uint32

func estimateRegisters(regs []byte) uint64 {
	var counts histogram
	for _, r := range regs {
		counts[r&63]++
	}
	return counts.estimate()
}

// estimate is the improved raw estimator of Ertl 2017 (algorithm 6), which
// needs neither bias tables nor a switch to linear counting.
func (c *histogram) estimate() uint64 {
	const m = registers
	z := m * tau(1-float64(c[maxRho])/m)
	for k := maxRho - 1; k >= 1; k-- {
		z = 0.5 * (z + float64(c[k]))
	}
	z += m * sigma(float64(c[0])/m)
	e := math.Round(m * m / (2 * math.Ln2 * z))
	// All registers at maxRho give z = 0.
	if e >= math.MaxInt64 {
		return math.MaxInt64
	}
	return uint64(e)
}

// sigma returns x + Σ x^(2^k) 2^(k-1) over k >= 1, for x in [0, 1): the share
// of registers that are still zero.
func sigma(x float64) float64 {
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += x * y
		y += y
		if z == before {
			return z
		}
	}
}

// tau returns (1 - x - Σ (1 - x^(2^-k))² 2^-k over k >= 1) / 3: the correction
// for registers at their maximum.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
		if z == before {
			return z / 3
		}
	}
}
