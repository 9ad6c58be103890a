package decode

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// canMark tells that markBlocks is faster than scanning string by string.
var canMark = cpu.X86.HasAVX2

// markBlocks sets bit i of dst for every byte i of src that is a quote, a
// backslash or below 0x20, and clears the others. src has n > 0 blocks of 64
// bytes, dst 8 bytes for each.
//
//go:noescape
func markBlocks(dst, src unsafe.Pointer, n int)

// firstStop returns the index of the first byte of src that markBlocks would mark,
// or 64n if there is none. src has n > 0 blocks of 64 bytes.
//
//go:noescape
func firstStop(src unsafe.Pointer, n int) int
