package clickhouse

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// How ClickHouse merges states itself. A histogram is a Map from bucket to count,
// merged by sumMap, 28 ns a bucket; two arrays and sumMap(keys, values) take four
// times as long. A HyperLogLog is sketch.HLLParts: indexes in e_, long runs of zeros
// in z_, registers in r_. Indexes are merged by a set of at most MaxSparse+1, so that
// memory stays bounded whatever is merged (a Map of them and maxMap takes 13 µs a
// cell, and memory without bound); what registers they raise is collected next to it
// as a set of register and rank, for the case that there are more.

const (
	leastInt64    = "toInt64('-9223372036854775808')"
	greatestInt64 = "toInt64('9223372036854775807')"
)

// read returns the columns of a state, under the names of merged, as they are read
// from a table.
func (s state) read(table int) []string {
	col := func(prefix string) string { return ident(prefix + s.metric) }
	if table != tableDeltas {
		var out []string
		for _, c := range s.columns(table) {
			out = append(out, c[0])
		}
		return out
	}
	array := func(prefix, kind string) string {
		return fmt.Sprintf("reinterpret(%s, 'Array(%s)')", col(prefix), kind)
	}
	switch s.kind {
	case millrace.StateMin, millrace.StateMax:
		return []string{fmt.Sprintf("if(isNaN(d.%[1]s), NULL, d.%[1]s) AS %[1]s", col("f_"))}
	case millrace.StateHist:
		return []string{fmt.Sprintf("mapFromArrays(%s, %s) AS %s", array("hk_", "UInt16"), array("hv_", "UInt64"), col("h_"))}
	case millrace.StateHLL:
		return []string{
			"reinterpret(d." + col("e_") + ", 'Array(UInt32)') AS " + col("e_"),
			"reinterpret(d." + col("z_") + ", 'Array(UInt32)') AS " + col("z_"),
			"reinterpret(d." + col("r_") + ", 'Array(UInt8)') AS " + col("r_"),
		}
	}
	return []string{col(s.prefix)}
}

// aggregates returns what merges the columns of a state over a group.
func (s state) aggregates() []string {
	col := func(prefix string) string { return ident(prefix + s.metric) }
	as := func(expr, prefix string) string { return expr + " AS " + ident("m"+prefix+s.metric) }
	switch s.kind {
	case millrace.StateMin:
		return []string{as("min("+col("f_")+")", "f_")}
	case millrace.StateMax:
		return []string{as("max("+col("f_")+")", "f_")}
	case millrace.StateHist:
		return []string{as("sumMap("+col("h_")+")", "h_")}
	case millrace.StateHLL:
		return []string{
			as(fmt.Sprintf("groupUniqArrayArray(%d)(%s)", sketch.MaxSparse+1, col("e_")), "e_"),
			as("groupUniqArrayArray("+col("z_")+")", "z_"),
			as("groupUniqArrayArray(arrayMap(x -> "+indexCode+", "+col("e_")+"))", "p_"),
			as("maxForEach("+col("r_")+")", "r_"),
		}
	}
	// A sum stops at the ends of Int64: an overflow must not make later answers wrong.
	// (Not by least and greatest: compiled, as ClickHouse 26.7 does from the fourth
	// time on, these give the wrong end for Int128.)
	sum := "sum(toInt128(" + col(s.prefix) + "))"
	return []string{as(fmt.Sprintf("ifNull(accurateCastOrNull(%s, 'Int64'), if(%s > 0, %s, %s))", sum, sum, greatestInt64, leastInt64), s.prefix)}
}

// indexCode is register<<RankBits | rank of an index x that is no multiple of
// 2^LowBits: the number of zeros its low bits begin with, and one.
var indexCode = fmt.Sprintf("toUInt32(bitOr(bitShiftLeft(bitShiftRight(x, %[1]d), %[2]d), toUInt32(%[1]d - bitCount(roundToExp2(bitAnd(x, %[3]d)) - 1))))",
	sketch.LowBits, sketch.RankBits, 1<<sketch.LowBits-1)

// merged returns the columns of a state after its aggregates, in the order and with
// the names of state.columns of the tables above deltas.
func (s state) merged() []string {
	m := func(prefix string) string { return ident("m" + prefix + s.metric) }
	as := func(expr, prefix string) string { return expr + " AS " + ident(prefix+s.metric) }
	switch s.kind {
	case millrace.StateMin, millrace.StateMax:
		return []string{as(m("f_"), "f_")}
	case millrace.StateHist:
		return []string{as(m("h_"), "h_")}
	case millrace.StateHLL:
		dense := fmt.Sprintf("(notEmpty(%s) OR length(%s) + length(arrayDistinct(arrayMap(x -> bitShiftRight(x, %d), %s))) > %d)",
			m("r_"), m("e_"), sketch.RankBits, m("z_"), sketch.MaxSparse)
		return []string{
			as("if("+dense+", [], arraySort("+m("e_")+"))", "e_"),
			as("if("+dense+", [], arraySort("+m("z_")+"))", "z_"),
			as("if("+dense+", "+registersSQL(m("r_"), "arrayConcat("+m("p_")+", "+m("z_")+")")+", [])", "r_"),
		}
	}
	return []string{as(m(s.prefix), s.prefix)}
}

// registersSQL returns the registers of a dense HLL: the larger of registers, empty
// or all, and of those that codes name.
func registersSQL(registers, codes string) string {
	return fmt.Sprintf(`mapValues(arrayReduce('maxMap', [
		mapFromArrays(CAST(range(%[3]d), 'Array(UInt16)'), arrayResize(%[1]s, %[3]d, 0)),
		mapFromArrays(arrayMap(x -> toUInt16(bitShiftRight(x, %[4]d)), %[2]s), arrayMap(x -> toUInt8(bitAnd(x, %[5]d)), %[2]s))]))`,
		registers, codes, sketch.Registers, sketch.RankBits, 1<<sketch.RankBits-1)
}

// let returns body, in which name stands for value: ClickHouse has no other way to
// name a part of an expression, and repeating it multiplies the time it takes to
// analyse a statement.
func let(name, value, body string) string {
	return fmt.Sprintf("arrayMap(%s -> %s, [%s])[1]", name, body, value)
}

// quantilesSQL returns sketch.Hist.Quantile of a merged histogram for some
// quantiles, as an array; of no meaning if the histogram is empty. The arithmetic is
// that of package sketch, operation by operation, so that the numbers are the same
// to the last bit.
func quantilesSQL(hist string, quantiles []float64) string {
	qs := make([]string, len(quantiles))
	for i, q := range quantiles {
		qs[i] = floatSQL(q)
	}
	rank := "if(q * toFloat64(total - 1) >= toFloat64(total - 1), total - 1, toUInt64(q * toFloat64(total - 1)))"
	buckets := let("total", "arraySum(mapValues("+hist+"))", fmt.Sprintf(
		"arrayMap(q -> mapKeys(%[1]s)[arrayFirstIndex(c -> c > %[2]s, arrayCumSum(mapValues(%[1]s)))], [%[3]s])", hist, rank, strings.Join(qs, ", ")))
	return "arrayMap(b -> " + bucketSQL("b") + ", " + buckets + ")"
}

// bucketSQL returns the value that stands for a bucket, a name.
func bucketSQL(b string) string {
	bound := func(i string) string {
		return fmt.Sprintf("reinterpretAsFloat64(toUInt64((intDiv(%[1]s, %[2]d) + %[3]d) * 4503599627370496 + %[4]s[modulo(%[1]s, %[2]d) + 1]))",
			i, sketch.PerOctave, 1023+sketch.MinExponent, octaveSQL)
	}
	middle := let("lo", bound("i"), let("hi", bound("(i + 1)"), fmt.Sprintf("least(greatest(2. * lo * hi / (lo + hi), %s), %s)",
		floatSQL(sketch.MinValue), floatSQL(sketch.MaxValue))))
	return fmt.Sprintf("if(%[1]s = %[2]d, 0., sign(%[1]s - %[2]d) * %[3]s)", b, sketch.ZeroBucket,
		let("i", fmt.Sprintf("toInt64(greatest(abs(%s - %d), 1) - 1)", b, sketch.ZeroBucket), middle))
}

// octaveSQL has the lower bounds of the buckets of an octave.
var octaveSQL = "CAST([" + numbers(sketch.OctaveMantissas()[:sketch.PerOctave]) + "], 'Array(UInt64)')"

// uniqSQL returns sketch.HLL.Estimate of merged columns.
func (s state) uniqSQL() string {
	e, z, r := ident("e_"+s.metric), ident("z_"+s.metric), ident("r_"+s.metric)
	// Linear counting over 2^25 indexes, rounded, is the number of indexes, as long
	// as these are so few.
	few := fmt.Sprintf("toInt64(length(%s) + length(arrayDistinct(arrayMap(x -> bitShiftRight(x, %d), %s))))", e, sketch.RankBits, z)
	return fmt.Sprintf("if(empty(%s), %s, %s)", r, few, registersEstimateSQL(r))
}

// registersEstimateSQL is the improved raw estimator of Ertl 2017 (algorithm 6), as
// in package sketch. The sums end there when they no longer change; more steps, as
// here, change nothing.
func registersEstimateSQL(r string) string {
	const steps = "range(64)"
	m := floatSQL(sketch.Registers)
	tau := let("x", fmt.Sprintf("1. - c[%d] / %s", sketch.MaxRank+1, m), fmt.Sprintf(
		"if(x = 0. OR x = 1., 0., tupleElement(arrayFold((a, i) -> (sqrt(a.1), a.2 * 0.5, a.3 - (1. - sqrt(a.1)) * (1. - sqrt(a.1)) * (a.2 * 0.5)), %s, (x, 1., 1. - x)), 3) / 3.)", steps))
	z := fmt.Sprintf("arrayFold((z, k) -> 0.5 * (z + k), arrayReverse(arraySlice(c, 2, %d)), %s * %s)", sketch.MaxRank-1, m, tau)
	sigma := let("x", "c[1] / "+m, fmt.Sprintf("tupleElement(arrayFold((a, i) -> (a.1 * a.1, a.2 + a.2, a.3 + a.1 * a.1 * a.2), %s, (x, 1., x)), 3)", steps))
	raw := let("c", fmt.Sprintf("arrayMap(k -> toFloat64(countEqual(%s, k)), range(%d))", r, sketch.MaxRank+1),
		fmt.Sprintf("%s / (%s * (%s + %s * %s))", floatSQL(sketch.Registers*sketch.Registers), floatSQL(2*math.Ln2), z, m, sigma))
	return let("e", raw, "if(e >= 9223372036854775807., 9223372036854775807, toInt64(floor(e + 0.5)))")
}

// floatSQL writes a number as a literal of Float64.
func floatSQL(f float64) string {
	return "toFloat64(" + strconv.FormatFloat(f, 'g', -1, 64) + ")"
}
