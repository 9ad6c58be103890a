// Package rollup turns events into cells: for every configured set of
// dimensions and every minute, the merged state of the configured metrics. It
// is pure: no clock, no I/O. Hours and days are computed from minutes by the
// Store, which holds them.
//
// A Definition is what a user writes; Compile checks it and yields a Rollup; an
// Engine folds events into open cells and Drain hands them out as deltas. A
// cell is the merge of its deltas, so it does not matter in how many drains,
// or in which order, its events were folded. All states are mergeable: sums
// add, minima and maxima compare, histograms (DDSketch) add their buckets and
// distinct counts (HyperLogLog++) take the maximum of their registers. Sums
// saturate; where values of both signs overflow on the way, the result depends
// on the order.
//
// Weights count occurrences: count is the sum of weights, sum of weight times
// value, a histogram takes a value weight times; a distinct count ignores it.
//
// The way of an event: encode.go makes columns of codes and inputs of it
// (dict.go, hash.go, reader.go); chunk.go puts a chunk of them into the tables
// that the plan feeds (plan.go, planning.go), where locate.go finds each one's
// row, update.go adds its numbers and partition.go its sketches; at the drain
// derive.go makes the other tables from these, and drain.go, batch.go and
// limiter.go hand the cells out. memory.go counts what all of it holds.
package rollup
