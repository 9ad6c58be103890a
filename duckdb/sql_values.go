package duckdb

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace"
)

// reader turns the values of one vector into what Table documents. size grows
// by the bytes it hands out.
type reader struct {
	vec  mapping.Vector
	typ  mapping.LogicalType
	size *int
}

// valueOverhead is what a value costs beside its text: an interface and a header.
const valueOverhead = 32

func (r reader) value(row int) (any, error) {
	*r.size += valueOverhead
	if !valid(mapping.VectorGetValidity(r.vec), row) {
		return nil, nil
	}
	switch kind := mapping.GetTypeId(r.typ); kind {
	case mapping.TypeVarchar:
		b := stringAt(r.at(row, 16))
		*r.size += len(b)
		return string(b), nil
	case mapping.TypeBlob:
		b := stringAt(r.at(row, 16))
		*r.size += 2 * len(b)
		return hex.EncodeToString(b), nil
	case mapping.TypeList, mapping.TypeMap, mapping.TypeArray, mapping.TypeStruct, mapping.TypeUnion:
		return r.nested(kind, row)
	case mapping.TypeTimestamp, mapping.TypeTimestampS, mapping.TypeTimestampMS, mapping.TypeTimestampNS, mapping.TypeTimestampTZ,
		mapping.TypeDate, mapping.TypeTime, mapping.TypeTimeNS, mapping.TypeTimeTZ, mapping.TypeInterval:
		return r.temporal(kind, row)
	default:
		return r.scalar(kind, row)
	}
}

func (r reader) at(row, size int) unsafe.Pointer {
	return unsafe.Add(mapping.VectorGetData(r.vec), row*size)
}

func (r reader) scalar(kind mapping.Type, row int) (any, error) {
	switch kind {
	case mapping.TypeSQLNull:
		return nil, nil
	case mapping.TypeBoolean:
		return *(*uint8)(r.at(row, 1)) != 0, nil
	case mapping.TypeTinyInt:
		return int64(*(*int8)(r.at(row, 1))), nil
	case mapping.TypeUTinyInt:
		return int64(*(*uint8)(r.at(row, 1))), nil
	case mapping.TypeSmallInt:
		return int64(*(*int16)(r.at(row, 2))), nil
	case mapping.TypeUSmallInt:
		return int64(*(*uint16)(r.at(row, 2))), nil
	case mapping.TypeInteger:
		return int64(*(*int32)(r.at(row, 4))), nil
	case mapping.TypeUInteger:
		return int64(*(*uint32)(r.at(row, 4))), nil
	case mapping.TypeBigInt:
		return *(*int64)(r.at(row, 8)), nil
	case mapping.TypeUBigInt:
		return integer(new(big.Int).SetUint64(*(*uint64)(r.at(row, 8)))), nil
	case mapping.TypeHugeInt, mapping.TypeUHugeInt:
		return integer(r.huge(row, kind == mapping.TypeHugeInt)), nil
	case mapping.TypeFloat:
		return float(float64(*(*float32)(r.at(row, 4)))), nil
	case mapping.TypeDouble:
		return float(*(*float64)(r.at(row, 8))), nil
	case mapping.TypeDecimal:
		return r.decimal(row), nil
	case mapping.TypeEnum:
		return r.enum(row), nil
	case mapping.TypeUUID:
		h := *(*[2]uint64)(r.at(row, 16))
		s := fmt.Sprintf("%016x%016x", h[1]^1<<63, h[0])
		return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], nil
	case mapping.TypeBit:
		return bits(stringAt(r.at(row, 16))), nil
	}
	return nil, millrace.Errorf(millrace.ErrInvalid, "sql: a value of type %s cannot be returned; cast it to VARCHAR", typeName(r.typ))
}

// huge reads a 128-bit integer.
func (r reader) huge(row int, signed bool) *big.Int {
	h := *(*[2]uint64)(r.at(row, 16))
	n := new(big.Int).SetUint64(h[1])
	if signed {
		n.SetInt64(int64(h[1]))
	}
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(h[0]))
}

func integer(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return json.Number(n.String())
}

// float keeps answers representable in JSON.
func float(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return f
}

// exactDigits is how many decimal digits a float64 always keeps.
const exactDigits = 15

func (r reader) decimal(row int) any {
	var n *big.Int
	switch mapping.DecimalInternalType(r.typ) {
	case mapping.TypeSmallInt:
		n = big.NewInt(int64(*(*int16)(r.at(row, 2))))
	case mapping.TypeInteger:
		n = big.NewInt(int64(*(*int32)(r.at(row, 4))))
	case mapping.TypeBigInt:
		n = big.NewInt(*(*int64)(r.at(row, 8)))
	default:
		n = r.huge(row, true)
	}
	scale := int(mapping.DecimalScale(r.typ))
	q := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	if len(new(big.Int).Abs(n).String()) <= exactDigits {
		f, _ := q.Float64()
		return f
	}
	return json.Number(q.FloatString(scale))
}

func (r reader) enum(row int) string {
	var i uint64
	switch mapping.EnumInternalType(r.typ) {
	case mapping.TypeUTinyInt:
		i = uint64(*(*uint8)(r.at(row, 1)))
	case mapping.TypeUSmallInt:
		i = uint64(*(*uint16)(r.at(row, 2)))
	default:
		i = uint64(*(*uint32)(r.at(row, 4)))
	}
	s := mapping.EnumDictionaryValue(r.typ, mapping.IdxT(i))
	*r.size += len(s)
	return s
}

// bits decodes a BIT: the number of unused bits, then the bytes.
func bits(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var s strings.Builder
	for _, c := range b[1:] {
		fmt.Fprintf(&s, "%08b", c)
	}
	return s.String()[min(int(b[0]), s.Len()):]
}

func (r reader) temporal(kind mapping.Type, row int) (any, error) {
	var raw int64
	switch kind {
	case mapping.TypeDate:
		return instant(time.Unix(0, 0).UTC().AddDate(0, 0, int(*(*int32)(r.at(row, 4)))), time.DateOnly), nil
	case mapping.TypeInterval:
		return interval(r.at(row, 16)), nil
	default:
		raw = *(*int64)(r.at(row, 8))
	}
	switch kind {
	case mapping.TypeTime:
		return time.UnixMicro(raw).UTC().Format("15:04:05.999999"), nil
	case mapping.TypeTimeNS:
		return time.Unix(0, raw).UTC().Format("15:04:05.999999999"), nil
	case mapping.TypeTimeTZ: // 40 bits of microseconds, 24 of offset
		return time.UnixMicro(int64(uint64(raw) >> 24)).UTC().Format("15:04:05.999999"), nil
	}
	if raw == math.MaxInt64 {
		return "infinity", nil
	}
	if raw == -math.MaxInt64 {
		return "-infinity", nil
	}
	switch kind {
	case mapping.TypeTimestampS:
		return instant(time.Unix(raw, 0).UTC(), ""), nil
	case mapping.TypeTimestampMS:
		return instant(time.UnixMilli(raw).UTC(), ""), nil
	case mapping.TypeTimestampNS:
		return instant(time.Unix(0, raw).UTC(), ""), nil
	}
	return instant(time.UnixMicro(raw).UTC(), ""), nil
}

// instant returns t, as text if a layout is given or JSON cannot hold its year.
func instant(t time.Time, layout string) any {
	if y := t.Year(); y < 0 || y > 9999 {
		return fmt.Sprintf("%d-%02d-%02d %s", y, t.Month(), t.Day(), t.Format(time.TimeOnly))
	}
	if layout != "" {
		return t.Format(layout)
	}
	return t
}

// interval decodes months, days and microseconds.
func interval(p unsafe.Pointer) string {
	months, days, micros := *(*int32)(p), *(*int32)(unsafe.Add(p, 4)), *(*int64)(unsafe.Add(p, 8))
	var parts []string
	if months != 0 {
		parts = append(parts, fmt.Sprintf("%d months", months))
	}
	if days != 0 {
		parts = append(parts, fmt.Sprintf("%d days", days))
	}
	if micros != 0 || len(parts) == 0 {
		// Formatted here: microseconds can exceed a time.Duration.
		sign := ""
		abs := new(big.Int).Abs(big.NewInt(micros)).Uint64()
		if micros < 0 {
			sign = "-"
		}
		s := fmt.Sprintf("%s%02d:%02d:%02d", sign, abs/3_600_000_000, abs/60_000_000%60, abs/1_000_000%60)
		if f := abs % 1_000_000; f != 0 {
			s += fmt.Sprintf(".%06d", f)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}
