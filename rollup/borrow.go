package rollup

import "unsafe"

// borrow returns b as a string without copying: valid until b is written to.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
