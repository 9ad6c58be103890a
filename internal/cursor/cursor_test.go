package cursor

import (
	"math"
	"testing"

	"github.com/millrace/millrace"
)

func TestRoundTrip(t *testing.T) {
	for _, w := range [][4]int64{{}, {-1, 3, 1 << 40, 7}, {math.MinInt64, math.MaxInt32, math.MaxInt64, math.MaxInt32}} {
		at, partition, offset, ordinal, err := Decode(Encode(w[0], int32(w[1]), w[2], int32(w[3])))
		if got := [4]int64{at, int64(partition), offset, int64(ordinal)}; err != nil || got != w {
			t.Errorf("%v: %v, %v", w, got, err)
		}
	}
	for _, bad := range []string{"", "x", "!", Encode(1, 2, 3, 4) + "AA"} {
		if _, _, _, _, err := Decode(bad); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
