//go:build !race

package sketch

const poolsForget = false
