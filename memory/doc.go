// Package memory is a millrace.Store that keeps everything in Go maps. It is
// the oracle of the tests: naive, slow, and obviously right. Whatever another
// Store answers to the same input must equal what this one answers.
//
// Invariants:
//
//   - Every call takes one lock, so that calls happen one after the other.
//   - A write is checked completely before it changes anything.
//   - Only minute cells are kept. Hours and days are computed when asked for,
//     so that they cannot be stale; retention merely hides what another Store
//     would have dropped.
package memory
