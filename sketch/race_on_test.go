//go:build race

package sketch

// Under the race detector a sync.Pool forgets at random.
const poolsForget = true
