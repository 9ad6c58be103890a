package sketch

import (
	"fmt"
	"math"
)

// The functions below work on encoded sketches, for SQL functions. A nil or
// empty blob stands for an empty sketch. They keep no reference to their
// arguments, return buffers of their own, and may run concurrently.

// MergeHist returns the encoding of the sum of all encoded Hists; for none, it
// is that of an empty Hist. An error wraps ErrCorrupt or ErrFormat and names
// the position of the bad blob.
func MergeHist(blobs [][]byte) ([]byte, error) {
	var h Hist
	if err := mergeBlobs(blobs, h.MergeEncoded); err != nil {
		return nil, err
	}
	return h.AppendTo(nil), nil
}

// MergeHLL returns the encoding of the union of all encoded HLLs; for none, it
// is that of an empty HLL. Its errors are those of MergeHist.
func MergeHLL(blobs [][]byte) ([]byte, error) {
	var h HLL
	if err := mergeBlobs(blobs, h.MergeEncoded); err != nil {
		return nil, err
	}
	return h.AppendTo(nil), nil
}

func mergeBlobs(blobs [][]byte, merge func([]byte) error) error {
	for i, b := range blobs {
		if len(b) == 0 {
			continue
		}
		if err := merge(b); err != nil {
			return fmt.Errorf("blob %d of %d: %w", i, len(blobs), err)
		}
	}
	return nil
}

// QuantileOf returns what Quantile returns for the encoded Hist: NaN if it is
// empty. It allocates nothing. It returns an error that wraps ErrQuantile if q
// is not in [0, 1], and one that wraps ErrCorrupt or ErrFormat if blob is bad.
func QuantileOf(blob []byte, q float64) (float64, error) {
	if !(q >= 0 && q <= 1) {
		return 0, fmt.Errorf("%w: %v", ErrQuantile, q)
	}
	if len(blob) == 0 {
		return math.NaN(), nil
	}
	s, err := summarize(blob)
	if err != nil || s.total == 0 {
		return math.NaN(), err
	}
	r, _ := readHist(blob)
	rank, seen := rankOf(q, s.total), uint64(0)
	for {
		b, count, _ := r.next()
		if seen = addCounts(seen, count); seen > rank {
			return b.value(), nil
		}
	}
}

// EstimateOf returns what Estimate returns for the encoded HLL: 0 if it is
// empty. It allocates nothing. An error wraps ErrCorrupt or ErrFormat.
func EstimateOf(blob []byte) (uint64, error) {
	if len(blob) == 0 {
		return 0, nil
	}
	if err := checkHLL(blob); err != nil {
		return 0, err
	}
	if blob[0] == denseV1 {
		counts := packedHistogram(blob)
		return counts.estimate(), nil
	}
	r, err := readSparse(blob)
	return estimateSparse(int(r.left)), err
}
