// Package ingest is the door: it authenticates, bounds, checks and appends, and
// answers only when the queue has the events on disk.
//
// A body is read whole before anything of it is appended, so that a truncated
// one stores nothing. It is framed into events in place and cut into queue
// records of at most 1 MiB by a rule that looks at the body alone: a client
// that sends the same body again under the same sequence number makes the same
// records, and the pipeline drops them as duplicates.
//
// Nothing here costs memory or time in proportion to anything but the bytes of
// a body: lines are spans of the pooled body buffer, records share it, and the
// buffers of all requests together are bounded.
package ingest
