// Package pipeline is the worker: it polls the queue, decodes each record once
// and hands the events to two sinks, which store raw rows and rollup deltas.
//
// # Invariants
//
//   - A sink's position of a partition says which events it has folded: all
//     before (generation, offset, ordinal). A sink stores its positions in the
//     transaction that stores its rows, so a restart replays exactly what is
//     missing, whatever was killed.
//   - Replay is deterministic: what a sink does with an event depends on the
//     record and on the state committed at its position, never on the clock, on
//     batch boundaries or on the other sink. The one exception, a deadline that
//     was overrun, is committed as a set-aside record and obeyed afterwards.
//   - Every event of a record is counted once per sink in the ledger: received =
//     stored + filtered + sampled + duplicate + rejected.
//   - Offsets that are missing are a gap: recorded, shown, never fatal.
//
// One goroutine polls, one decodes, one runs per sink; a fifth does the Store's
// maintenance. Units flow through bounded channels, so memory is bounded and a
// slow Store slows the poller, not the appenders; those are held back by the
// queue's size (see queue.Pressure).
package pipeline
