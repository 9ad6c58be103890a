//go:build !amd64

package decode

import "unsafe"

const canMark = false

func markBlocks(_, _ unsafe.Pointer, _ int) { panic("decode: no kernel for this architecture") }

func firstStop(_ unsafe.Pointer, _ int) int { panic("decode: no kernel for this architecture") }
