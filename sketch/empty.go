package sketch

// Empty reports whether nothing was ever added.
func (h *Hist) Empty() bool { return h.Count() == 0 }

// Empty reports whether nothing was ever added. Cheaper than Estimate.
func (h *HLL) Empty() bool { return h.dense == nil && h.n == 0 }
