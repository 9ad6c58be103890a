// Package millrace holds the nouns every other package agrees on: Event,
// Batch, Record, Cell, Commit, Exception; the error codes; and the interfaces
// Store and Meta that adapters implement. It imports the standard library
// only, so that whoever reads it needs to know nothing else.
//
// All times are Unix nanoseconds in UTC unless a name or comment says
// otherwise. All counts of bytes are bytes, never KiB.
package millrace
