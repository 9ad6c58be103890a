package rollup

// A binary heap of candidates, the one that may save most on top. container/heap
// would box each of thousands.

func heapify(h []candidate) {
	for i := len(h)/2 - 1; i >= 0; i-- {
		sift(h, i)
	}
}

// sift moves h[i] down to its place.
func sift(h []candidate, i int) {
	for {
		big := i
		for c := 2*i + 1; c <= 2*i+2; c++ {
			if c < len(h) && h[c].saves > h[big].saves {
				big = c
			}
		}
		if big == i {
			return
		}
		h[i], h[big] = h[big], h[i]
		i = big
	}
}

// lift moves the last element up to its place.
func lift(h []candidate) {
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[i].saves <= h[up].saves {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

// at returns what h[i] may save, 0 beyond the end.
func at(h []candidate, i int) float64 {
	if i < len(h) {
		return h[i].saves
	}
	return 0
}
