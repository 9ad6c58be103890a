// Package agent brings files to a millrace server. Import reads files once,
// from start to end; it can be killed at any moment and started again, and
// neither loses nor repeats a line.
//
// How: a file is sent in chunks under consecutive sequence numbers. Where
// chunks end is a function of the file's content from the last acknowledged
// offset on, and of nothing else. The offset, the next number and the client id
// are kept in a state file. After a restart the chunks that were under way are
// cut in the same places and sent under the same numbers, and the server, which
// stores each number once, drops those it has.
package agent
