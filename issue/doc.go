// Package issue has the life of issues and answers every question about them: it
// says which fingerprints are one issue, when one that was resolved has come
// back, whose it is, and how often it occurred.
//
// What people know of issues lies in a millrace.Issues, what was counted in the
// cells of the rollup "exceptions", by fingerprint. An issue's numbers are the
// sums over its fingerprints, so that no change of what belongs together changes
// a stored number, and each can be taken back.
//
// Files: see.go is told what workers saw; keys.go and owners.go say where new
// fingerprints belong; actions.go is what people do to issues, merge.go and
// regroup.go what they do to the grouping, undo.go takes either back; keeper.go
// ends what was ignored for a while; numbers.go asks the rollup for list.go,
// detail.go and types.go; events.go and explain.go show single events.
package issue
