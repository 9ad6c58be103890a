package rollup

import "golang.org/x/sys/cpu"

// canGather tells that gather is faster than textKey.set.
var canGather = cpu.X86.HasAVX2

// gather is textKey.set for n > 0 texts. It may read up to 31 bytes behind a
// text, where that is on the same page, and drops them.
//
//go:noescape
func gather(dst *textKey, src *string, n int)
