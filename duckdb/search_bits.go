package duckdb

/*
typedef void (*millrace_scalar)(void *, void *, void *);
void millraceBit(void *info, void *input, void *output);
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace"
)

// bitOf is the SQL function millrace_bit(n, first, bits): bit n-first of bits, the
// first in the least significant bit of the first byte; false beyond its end.
var bitOf = function{
	"millrace_bit",
	[]mapping.Type{mapping.TypeBigInt, mapping.TypeBigInt, mapping.TypeBlob},
	false, mapping.TypeBoolean,
	C.millrace_scalar(C.millraceBit),
}

//export millraceBit
func millraceBit(infoPtr, inputPtr, outputPtr unsafe.Pointer) {
	defer func() {
		if p := recover(); p != nil {
			mapping.ScalarFunctionSetError(mapping.FunctionInfo{Ptr: infoPtr}, fmt.Sprintf("BUG: bit: %v", p))
		}
	}()
	chunk := mapping.DataChunk{Ptr: inputPtr}
	n := int(mapping.DataChunkGetSize(chunk))
	numbers := unsafe.Slice((*int64)(mapping.VectorGetData(mapping.DataChunkGetVector(chunk, 0))), n)
	firsts := unsafe.Slice((*int64)(mapping.VectorGetData(mapping.DataChunkGetVector(chunk, 1))), n)
	blobs := open(mapping.DataChunkGetVector(chunk, 2))
	out := unsafe.Slice((*bool)(mapping.VectorGetData(mapping.Vector{Ptr: outputPtr})), n)
	for i := range out {
		bits, at := blobs.bytes(i), uint64(numbers[i])-uint64(firsts[i])
		out[i] = at/8 < uint64(len(bits)) && bits[at/8]>>(at%8)&1 == 1
	}
}

// texts are conditions over messages whose rows are known: no message is read.
type texts map[*millrace.Filter]knownText

// knownText is true or false for all rows, or has a bit for each row from first on.
type knownText struct {
	all   bool
	bits  []byte
	first int64
}

func (c *condition) knownText(f *millrace.Filter) bool {
	k, ok := c.texts[f]
	switch {
	case !ok:
		return false
	case k.bits != nil:
		c.add("millrace_bit(rowid, ?, ?)", k.first, k.bits)
	default:
		c.add(fmt.Sprint(k.all))
	}
	return true
}

// known returns the texts of a probe that are known for all rows of the part.
func (p *part) known(x *eventIndex, pr *probe) (texts, error) {
	if len(pr.texts) == 0 || !p.spans[0].found.known {
		return nil, nil
	}
	out := texts{}
	for i, t := range pr.texts {
		k := knownText{first: p.first}
		yes, no := p.verdicts(i)
		switch {
		case !no:
			k.all = true
		case yes:
			k.bits = make([]byte, (p.last-p.first+7)/8)
			for _, s := range p.spans {
				if ok, err := s.setBits(x, i, k.bits, p.first); err != nil || !ok {
					return nil, err
				}
			}
		}
		out[t.filter] = k
	}
	return out, nil
}

// verdicts returns whether some rows match text i, and whether some do not.
func (p *part) verdicts(i int) (yes, no bool) {
	for _, s := range p.spans {
		for class, v := range s.found.texts[i] {
			if s.found.occur[class] {
				yes, no = yes || v == always, no || v == never
			}
		}
	}
	return yes, no
}

// setBits sets the bits of the rows that match text i; false if the index is
// damaged or gone.
func (s *span) setBits(x *eventIndex, i int, bits []byte, first int64) (ok bool, err error) {
	err = x.view(s.day.name, func(f *indexFile) error {
		classes, err := f.readClasses(s.block)
		if err != nil {
			if f.bad.Load() {
				return nil
			}
			return err
		}
		verdicts := &s.found.texts[i]
		at := s.first - first
		for _, class := range classes {
			bits[at/8] |= byte(verdicts[class]/always) << (at % 8)
			at++
		}
		ok = true
		return nil
	})
	return ok, err
}
