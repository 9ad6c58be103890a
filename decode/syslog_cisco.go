package decode

import "bytes"

// Network devices of Cisco and those that follow them write, behind <PRI>, none
// of it certain but the last:
//
//	[SEQUENCE:] [HOST:] [*|.]TIME [ZONE] [HOST] [:] %FACILITY-SEVERITY-MNEMONIC: MSG
//
// such as "29: router1: *Mar  1 00:01:02.123 UTC: %SYS-5-CONFIG_I: Configured" of
// IOS, "Mar 05 2026 11:00:00 fw01 : %ASA-6-302013: Built" of an ASA and
// ": 2026 Mar  5 11:00:00 UTC: %ETHPORT-5-IF_UP: up" of NX-OS (Cisco, System
// Message Guide; ASA Series Syslog Messages). The facility becomes the service,
// all of %FACILITY-SEVERITY-MNEMONIC without % the msgid. A zone other than UTC is
// kept as it is, since its name may mean several: the time counts as UTC.

// maxCisco bounds what stands before the mnemonic.
const maxCisco = 128

// scanCisco parses such a header from i on, or returns false and leaves h as it is.
func scanCisco(b []byte, i int, arrived int64, h *syslogHeader) bool {
	at := bytes.IndexByte(b[i:min(len(b), i+maxCisco)], '%')
	if at < 0 {
		return false
	}
	at += i
	n, facility := mnemonic(b[at:])
	if n == 0 {
		return false
	}
	found := syslogHeader{pri: h.pri, app: b[at+1 : at+1+facility], msgid: b[at+1 : at+n]}
	if !ciscoHead(b[i:at], arrived, &found) {
		return false
	}
	found.msg = bytes.TrimPrefix(b[at+n+1:], []byte{' '})
	*h = found
	return true
}

// mnemonic returns the length of %FACILITY-SEVERITY-MNEMONIC, without the colon
// that must follow, and that of the facility; 0 if b does not begin so.
func mnemonic(b []byte) (n, facility int) {
	severity := false
	for i := 1; i < len(b) && i < maxCisco; i++ {
		switch c := b[i]; {
		case c == ':':
			if !severity || b[i-1] == '-' {
				return 0, 0
			}
			return i, facility
		case c == '-':
			if i == 1 {
				return 0, 0
			}
			if facility == 0 {
				facility = i - 1
			}
			if i+2 < len(b) && b[i+1] >= '0' && b[i+1] <= '7' && b[i+2] == '-' {
				severity = true
			}
		case !isAlnum(c) && c != '_' && c != '/':
			return 0, 0
		}
	}
	return 0, 0
}

// ciscoHead parses what stands before the mnemonic.
func ciscoHead(b []byte, arrived int64, h *syslogHeader) bool {
	b = bytes.Trim(b, ": ")
	if n := skipDigits(b, 0); n > 0 && n < 11 && (n == len(b) || b[n] == ':') {
		h.sequence, b = b[:n], bytes.TrimLeft(b[n:], ": ")
	}
	for len(b) > 0 {
		if !h.timed {
			if n := ciscoTime(bytes.TrimLeft(b, "*."), arrived, h); n > 0 {
				b = bytes.TrimLeft(b, "*.")[n:]
				b = ciscoZone(bytes.TrimLeft(b, " "), h)
				continue
			}
		}
		word := b
		if n := bytes.IndexAny(b, ": "); n >= 0 && !bytes.Contains(b[:n+1], []byte{' '}) && bytes.HasPrefix(b[n:], []byte(": ")) {
			word = b[:n]
		} else if n := bytes.IndexByte(b, ' '); n >= 0 {
			word = b[:n]
		}
		if len(h.host) > 0 || !hostWord(word) {
			return false
		}
		h.host, b = word, bytes.TrimLeft(b[len(word):], ": ")
	}
	return true
}

// ciscoTime parses the time at the start of b and returns its length, 0 if there
// is none.
func ciscoTime(b []byte, arrived int64, h *syslogHeader) int {
	ns, n, ok := deviceTime(b, arrived)
	if n > 0 {
		h.ns, h.timed, h.fits, h.original = ns, true, ok, b[:n]
	}
	return n
}

// ciscoZone takes a zone's name, which is in upper case, off b.
func ciscoZone(b []byte, h *syslogHeader) []byte {
	n := 0
	for n < len(b) && b[n] >= 'A' && b[n] <= 'Z' {
		n++
	}
	if n < 3 || n > 5 || n < len(b) && b[n] != ':' && b[n] != ' ' {
		return bytes.TrimLeft(b, ": ")
	}
	if zone := b[:n]; string(zone) != "UTC" && string(zone) != "GMT" {
		h.zone = zone
	}
	return bytes.TrimLeft(b[n:], ": ")
}

// deviceTime is parseTime for dates whose year stands first or last, too:
// "2026 Mar  5 11:00:00", "Mar  5 11:00:00 2026".
func deviceTime(b []byte, arrived int64) (ns int64, n int, ok bool) {
	var buf [32]byte
	if year(b) && len(b) > 5 && b[4] == ' ' && !isDigit(b[5]) {
		// As "Mar  5 2026 11:00:00", which parseTime knows.
		rest := b[5:]
		if len(rest) < 15 || rest[6] != ' ' {
			return 0, 0, false
		}
		to := append(append(append(buf[:0], rest[:7]...), b[:5]...), rest[7:min(len(rest), 19)]...)
		ns, n, ok = parseTime(to, arrived)
		return ns, n, ok && n > 0
	}
	ns, n, ok = parseTime(b, arrived)
	if n == 15 && len(b) >= 20 && !isDigit(b[0]) && b[15] == ' ' && year(b[16:]) && (len(b) == 20 || b[20] == ' ' || bytes.HasPrefix(b[20:], []byte(": "))) {
		to := append(append(append(append(buf[:0], b[:7]...), b[16:20]...), ' '), b[7:15]...)
		if ns2, n2, ok2 := parseTime(to, arrived); n2 == len(to) {
			return ns2, 20, ok2
		}
	}
	return ns, n, ok
}

// year reports whether b begins with a year of this or the last century.
func year(b []byte) bool {
	return len(b) >= 4 && (b[0] == '1' && b[1] == '9' || b[0] == '2' && b[1] == '0') && isDigit(b[2]) && isDigit(b[3])
}
