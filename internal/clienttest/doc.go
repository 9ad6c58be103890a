// Package clienttest runs real, unmodified clients of other projects against a
// real server: its binary, in a process of its own, which tests kill and start
// again. It is a module of its own, so that what the clients need stays out of
// millrace's.
//
// Tests run if MILLRACE_CLIENTS is set (make test-clients), and then fail where a
// client is missing; otherwise they are skipped with one line each.
package clienttest
