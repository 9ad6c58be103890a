package decode

import "github.com/millrace/millrace"

// Lines of containers as Kubernetes' runtimes (containerd, CRI-O) write them:
//
//	2006-01-02T15:04:05.999999999Z07:00 stdout F MSG
//
// The message is decoded as behind a syslog header; stream is stdout or stderr.
// Deviation: parts of a split line (P instead of F) are not put together.

const attrStream = "stream"

// parseCRI fills e from a container's line, or returns false and leaves e as it is.
func (d *Decoder) parseCRI(e *millrace.Event, line []byte) bool {
	if len(line) < 30 || line[10] != 'T' || !isDigit(line[0]) {
		return false
	}
	ns, n, ok := parseTime(line, 0)
	rest := line[n:]
	if n == 0 || len(rest) < len(" stdout F ") {
		return false
	}
	if !hasPrefix(rest, " stdout ") && !hasPrefix(rest, " stderr ") {
		return false
	}
	if (rest[8] != 'F' && rest[8] != 'P') || rest[9] != ' ' {
		return false
	}
	h := syslogHeader{pri: -1, ns: ns, timed: true, fits: ok, original: line[:n], msg: rest[10:]}
	d.syslogMessage(e, line, &h)
	d.syslogFields(e, &h)
	setText(e, attrStream, rest[1:7])
	return true
}
