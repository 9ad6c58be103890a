// Package bench measures a millrace server from outside, as its users see it:
// a child process is sent generated lines over HTTP, asked questions meanwhile,
// and watched by the operating system's own accounting. What it reports is
// checked: every line sent must be stored and counted.
//
// Senders share the machine with the server. They take their lines from pools
// made beforehand, so that they cost a tenth of a microsecond a line.
package bench
