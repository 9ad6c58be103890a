package clickhouse

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// valueOverhead is what a value costs beside its text: an interface and a header.
const valueOverhead = 32

// destinations returns pointers to scan a row of these columns into.
func destinations(types []driver.ColumnType) []any {
	out := make([]any, len(types))
	for i, c := range types {
		out[i] = reflect.New(c.ScanType()).Interface()
	}
	return out
}

// sqlValue turns what a destination holds into what millrace.Table documents. size
// grows by the bytes it hands out.
func sqlValue(dest any, size *int) any { return tableValue(reflect.ValueOf(dest).Elem(), size) }

func tableValue(v reflect.Value, size *int) any {
	*size += valueOverhead
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		if known, ok := knownValue(v.Interface(), size); ok {
			return known
		}
		v = v.Elem()
	}
	if known, ok := knownValue(v.Interface(), size); ok {
		return known
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return integer(new(big.Int).SetUint64(v.Uint()))
	case reflect.Float32, reflect.Float64:
		return float(v.Float())
	case reflect.String:
		*size += v.Len()
		return strings.ToValidUTF8(v.String(), "\uFFFD")
	case reflect.Slice, reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = tableValue(v.Index(i), size)
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			out[fmt.Sprint(tableValue(it.Key(), size))] = tableValue(it.Value(), size)
		}
		return out
	}
	text := fmt.Sprint(v.Interface())
	*size += len(text)
	return text
}

// knownValue handles types that are one value although they have parts.
func knownValue(v any, size *int) (any, bool) {
	switch v := v.(type) {
	case time.Time:
		if y := v.Year(); y < 0 || y > 9999 { // JSON cannot hold it
			return fmt.Sprintf("%d-%02d-%02d %s", y, v.Month(), v.Day(), v.UTC().Format(time.TimeOnly)), true
		}
		return v.UTC(), true
	case big.Int:
		return integer(&v), true
	case *big.Int:
		return integer(v), true
	case net.IP:
		return v.String(), true
	case decimal:
		return exact(v), true
	case json.Marshaler:
		b, err := v.MarshalJSON()
		if err != nil {
			return fmt.Sprint(v), true
		}
		*size += len(b)
		var out any
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		if d.Decode(&out) != nil {
			return string(b), true
		}
		return out, true
	case fmt.Stringer: // UUIDs and the like
		return v.String(), true
	}
	return nil, false
}

// decimal is what clickhouse-go has for Decimal.
type decimal interface {
	Coefficient() *big.Int
	InexactFloat64() float64
	String() string
}

// exactDigits is how many decimal digits a float64 always keeps.
const exactDigits = 15

func exact(d decimal) any {
	if n := d.Coefficient(); len(n.Abs(n).String()) > exactDigits {
		return json.Number(d.String())
	}
	return d.InexactFloat64()
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
