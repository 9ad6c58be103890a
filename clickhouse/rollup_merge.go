package clickhouse

import (
	"fmt"
	"math"
	"strconv"

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
	leastInt64    = "toInt128('-9223372036854775808')"
	greatestInt64 = "toInt128('9223372036854775807')"
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
	return []string{as(fmt.Sprintf("toInt64(least(greatest(sum(toInt128(%s)), %s), %s))", col(s.prefix), leastInt64, greatestInt64), s.prefix)}
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
			as(registersSQL(dense, m("r_"), "arrayConcat("+m("p_")+", "+m("z_")+")"), "r_"),
		}
	}
	return []string{as(m(s.prefix), s.prefix)}
}

// registersSQL returns the registers of a dense HLL: the larger of registers, empty
// or all, and of those that codes name. It is empty where dense is false.
func registersSQL(dense, registers, codes string) string {
	needed := fmt.Sprintf("if(%s, %s, CAST([], 'Array(UInt32)'))", dense, codes)
	all := func(values string) string {
		return fmt.Sprintf("if(notEmpty(%s), %s, CAST([], 'Array(%s)'))", needed, values, map[bool]string{true: "UInt16", false: "UInt8"}[values == registerNumbers])
	}
	base := fmt.Sprintf("if(empty(%s), %s, %s)", registers, noRegisters, registers)
	return fmt.Sprintf(`if(empty(%[1]s), %[2]s, mapValues(arrayReduce('maxMap', [mapFromArrays(
		arrayConcat(%[3]s, arrayMap(x -> toUInt16(bitShiftRight(x, %[5]d)), %[1]s)),
		arrayConcat(%[4]s, arrayMap(x -> toUInt8(bitAnd(x, %[6]d)), %[1]s)))])))`,
		needed, registers, all(registerNumbers), all(base), sketch.RankBits, 1<<sketch.RankBits-1)
}

var (
	registerNumbers = fmt.Sprintf("CAST(range(%d), 'Array(UInt16)')", sketch.Registers)
	noRegisters     = fmt.Sprintf("CAST(arrayResize([], %d, 0), 'Array(UInt8)')", sketch.Registers)
)

// quantileSQL returns sketch.Hist.Quantile of a merged histogram, NULL if it is
// empty. The arithmetic is that of package sketch, operation by operation, so that
// the number is the same to the last bit.
func quantileSQL(hist string, q float64) string {
	last := "(arraySum(mapValues(" + hist + ")) - 1)"
	rank := fmt.Sprintf("if(%[1]s * toFloat64(%[2]s) >= toFloat64(%[2]s), %[2]s, toUInt64(%[1]s * toFloat64(%[2]s)))", floatSQL(q), last)
	bucket := fmt.Sprintf("mapKeys(%[1]s)[arrayFirstIndex(x -> x > %[2]s, arrayCumSum(mapValues(%[1]s)))]", hist, rank)
	return "if(empty(" + hist + "), NULL, " + bucketSQL(bucket) + ")"
}

// bucketSQL returns the value that stands for a bucket.
func bucketSQL(bucket string) string {
	b := "toInt64(" + bucket + ")"
	i := fmt.Sprintf("(abs(%s - %d) - 1)", b, sketch.ZeroBucket)
	bound := func(i string) string {
		return fmt.Sprintf("reinterpretAsFloat64(toUInt64((intDiv(%[1]s, %[2]d) + %[3]d) * 4503599627370496 + %[4]s[modulo(%[1]s, %[2]d) + 1]))",
			i, sketch.PerOctave, 1023+sketch.MinExponent, octaveSQL)
	}
	lo, hi := bound(i), bound("("+i+" + 1)")
	return fmt.Sprintf("if(%s = %d, 0., sign(%s - %d) * least(greatest(2. * %s * %s / (%s + %s), %s), %s))",
		b, sketch.ZeroBucket, b, sketch.ZeroBucket, lo, hi, lo, hi, floatSQL(sketch.MinValue), floatSQL(sketch.MaxValue))
}

// octaveSQL has the lower bounds of the buckets of an octave.
var octaveSQL = "[" + numbers(sketch.OctaveMantissas()[:sketch.PerOctave]) + "]"

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
	count := func(k string) string { return "toFloat64(countEqual(" + r + ", " + k + "))" }
	x := "(1. - " + count(strconv.Itoa(sketch.MaxRank)) + " / " + m + ")"
	tau := fmt.Sprintf("if(%[1]s = 0. OR %[1]s = 1., 0., tupleElement(arrayFold((a, i) -> (sqrt(a.1), a.2 * 0.5, a.3 - (1. - sqrt(a.1)) * (1. - sqrt(a.1)) * (a.2 * 0.5)), %[2]s, (%[1]s, 1., 1. - %[1]s)), 3) / 3.)", x, steps)
	z := fmt.Sprintf("arrayFold((z, k) -> 0.5 * (z + k), arrayMap(k -> %s, arrayReverse(range(1, %d))), %s * %s)", count("k"), sketch.MaxRank, m, tau)
	zero := "(" + count("0") + " / " + m + ")"
	sigma := fmt.Sprintf("tupleElement(arrayFold((a, i) -> (a.1 * a.1, a.2 + a.2, a.3 + a.1 * a.1 * a.2), %[2]s, (%[1]s, 1., %[1]s)), 3)", zero, steps)
	raw := fmt.Sprintf("(%s / (%s * (%s + %s * %s)))", floatSQL(sketch.Registers*sketch.Registers), floatSQL(2*math.Ln2), z, m, sigma)
	return fmt.Sprintf("if(%[1]s >= 9223372036854775807., 9223372036854775807, toInt64(floor(%[1]s + 0.5)))", raw)
}

// floatSQL writes a number as a literal of Float64.
func floatSQL(f float64) string {
	return "toFloat64(" + strconv.FormatFloat(f, 'g', -1, 64) + ")"
}
