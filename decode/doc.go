// Package decode turns payloads into events: one file per format, a parser of
// timestamps, and the joining of multi-line events.
//
// Frame runs at the door, on every byte ingested: it splits a body into events
// and checks each cheaply. Decoder runs in the pipeline, once per record: every
// frame ends as exactly one event or one reject. Both are deterministic: the
// same bytes give the same frames and events, which is what replay relies on.
//
// Decoded strings borrow from the record's payload; see Decoder.
package decode
