package decode

import "unsafe"

// borrow returns b as a string without copying. The payload outlives the
// batch's events and is never written to, which is what makes this safe; an
// event's strings are valid as long as the record's payload.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// unborrow returns s as bytes without copying; nobody may write to them.
func unborrow(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
