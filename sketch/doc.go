// Package sketch holds the two mergeable summaries of a rollup cell: Hist for
// quantiles and HLL for distinct counts.
//
// Hist is a DDSketch (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable
// quantile sketch with relative-error guarantees", PVLDB 12(12), 2019). HLL is
// a HyperLogLog++ (Heule, Nunkesser, Hall, "HyperLogLog in practice", EDBT
// 2013) read by the improved estimator of Ertl ("New cardinality estimation
// algorithms for HyperLogLog sketches", arXiv:1702.01284, 2017).
//
// Invariants:
//
//   - The encoding of a Hist is a function of the multiset of values added, the
//     encoding of an HLL of the set of hashes added. Order, chunking, merging
//     and the representation in memory leave no trace, on any architecture: no
//     floating-point arithmetic decides a byte. FORMAT.md describes the bytes,
//     and a test pins them.
//   - Merging is commutative and associative. Merging Hists adds, so the same
//     delta must not be merged twice; merging HLLs is idempotent.
//   - Decoding accepts only bytes that encoding can produce. Anything else is
//     an error, never a panic, and cannot make the decoder allocate more than
//     the largest valid sketch: 23 KiB for a Hist, 6 KiB for an HLL.
//
// Hists and HLLs are columns of many of them for rollup tables: the same
// sketches without pointers, in an arena, and fast to add runs to.
//
// The zero values are empty sketches ready to use; they own no memory until
// something is added. Both types may be read from several goroutines at once,
// but a call that changes one must be the only call running on it. Do not copy
// a sketch that is in use: copies share their buffers.
package sketch
