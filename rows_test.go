package millrace

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// TestRowsRemove: rows that are taken out leave what appending the others gives.
func TestRowsRemove(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		n := rng.IntN(30)
		var rows, want EventRows
		var gone []int32
		for i := range n {
			text := func() string { return strings.Repeat(fmt.Sprint(rng.IntN(10)), rng.IntN(4)) }
			rec := &Record{Partition: rng.Int32N(4), Offset: rng.Int64N(9), Arrived: rng.Int64N(9)}
			e := &Event{
				Time: rng.Int64N(99), Weight: rng.Int64N(9), Kind: Kind(rng.IntN(4)), Ordinal: int32(i), Project: text(), Source: text(),
				Service: text(), Host: text(), Env: text(), Release: text(), Level: text(), TraceID: text(), Message: text(),
			}
			for _, key := range []string{AttrURL, AttrMethod, AttrStatus, AttrBytes, AttrRT, AttrRTBackend, AttrClientIP, AttrUserAgent, "city"} {
				if rng.IntN(2) == 0 {
					e.Set(key, nastyValues[rng.IntN(len(nastyValues))])
				}
			}
			rows.Append(rec, e)
			if rng.IntN(3) == 0 {
				gone = append(gone, int32(i))
			} else {
				want.Append(rec, e)
			}
		}
		rows.Remove(gone)
		if got, want := content(&rows), content(&want); got != want {
			t.Fatalf("round %d: without %v of %d rows:\n%s\nwant\n%s", round, gone, n, got, want)
		}
		if rows.Append(&Record{}, &Event{Message: "after"}); string(rows.Message.At(rows.Len()-1)) != "after" {
			t.Fatalf("round %d: appended %q", round, rows.Message.At(rows.Len()-1))
		}
	}
}

// content prints every field of rows, so that none can be forgotten.
func content(r *EventRows) string {
	var out strings.Builder
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		if s, ok := v.Interface().(Strings); ok {
			for i := range s.Len() {
				fmt.Fprintf(&out, "%s %d: %q\n", name, i, s.At(i))
			}
			fmt.Fprintf(&out, "%s: %d strings of %d bytes\n", name, s.Len(), len(s.Data))
			return
		}
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				walk(v.Type().Field(i).Name, v.Field(i))
			}
			return
		}
		fmt.Fprintf(&out, "%s: %d %v\n", name, v.Len(), v.Interface())
	}
	walk("", reflect.ValueOf(*r))
	return out.String()
}
