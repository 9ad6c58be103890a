package bench

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/gen"
)

// hundred is the name of the rollup of Hundred.
const hundred = "hundred"

// Hundred is a configuration: beside the default rollups, one of 100 sets of the
// 12 dimensions of a generated line (gen.Sets) with the count of lines and the
// sum of their bytes, by minute, hour and day.
func Hundred() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rollups:\n  %s:\n    dimensions: [%s]\n    metrics: {n: count(), bytes: sum(bytes)}\n    sets:\n",
		hundred, strings.Join(gen.Dimensions(), ", "))
	for _, set := range gen.Sets(100) {
		fmt.Fprintf(&b, "      - [%s]\n", strings.Join(set, ", "))
	}
	return b.String()
}

// HundredCounts says what counts every line with the configuration of Hundred.
func HundredCounts() map[string]string { return map[string]string{"traffic": "pv", hundred: "n"} }
