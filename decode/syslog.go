package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Syslog lines.
//
//	<PRI>1 TIME HOST APP PROCID MSGID SD MSG       RFC 5424
//	<PRI>Jan _2 15:04:05 HOST TAG[PID]: MSG        RFC 3164, and ISO 8601 times
//	Jan _2 15:04:05 HOST TAG[PID]: MSG             /var/log/syslog
//	2006-01-02T15:04:05.999999Z07:00 HOST TAG[PID]: MSG   rsyslog's file format
//	<PRI>29: HOST: *Jan _2 15:04:05: %SYS-5-CONFIG_I: MSG  devices, see syslog_cisco.go
//
// The priority gives level and facility, the application or tag the service,
// then host, pid (or procid), msgid; structured data becomes attributes named
// ID.NAME. The message is what follows the header. It may itself be JSON, an
// access line or logfmt and is decoded as such: its fields win over the header's,
// its time too, unless it is plain text.
//
// RFC 3164 has no year: it is inferred from the record's arrival (time.go). A
// BOM before the message is dropped.
//
// Without PRI only what clearly is syslog is taken for it: after the time comes
// a host that is no level, and a tag with a colon; an ISO time must look like
// rsyslog's (a 'T', and microseconds, an offset or a PID in the tag).
//
// Deviations: with PRI everything else may be missing, as RFC 3164 recommends;
// a version other than 1 is accepted; invalid structured data is message.

const (
	attrFacility = "facility"
	attrProcID   = "procid"
	attrMsgID    = "msgid"
	attrSequence = "sequence"
	attrTimeZone = "timezone"
)

var facilityNames = [24]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
	"uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// syslogHeader is a header as found; empty fields were absent.
type syslogHeader struct {
	pri             int // -1 if there is none
	ns              int64
	timed, fits     bool
	zoned           bool   // the time tells its year and zone
	original        []byte // the time as written, if it does not fit
	host, app, proc []byte
	msgid, sd, msg  []byte
	sequence, zone  []byte // of network devices, see syslog_cisco.go
}

// parseSyslog fills e from a syslog line, or returns false and leaves e as it is.
func (d *Decoder) parseSyslog(e *millrace.Event, line []byte) bool {
	var h syslogHeader
	if !scanSyslog(line, d.b.Record.Arrived, &h) {
		return false
	}
	d.syslogMessage(e, line, &h)
	d.syslogFields(e, &h)
	return true
}

// syslogMessage decodes the message into e.
func (d *Decoder) syslogMessage(e *millrace.Event, line []byte, h *syslogHeader) {
	msg := h.msg
	if blank(msg) {
		e.Message = borrow(line)
		return
	}
	if i := bytes.IndexByte(msg, '\n'); i >= 0 {
		e.Message, e.MultiLine = borrow(msg), true
		d.plain(e, trimCR(msg[:i]))
		return
	}
	object := bytes.TrimLeft(msg, " ")
	object = bytes.TrimLeft(bytes.TrimPrefix(object, []byte("@cee:")), " ") // rsyslog's mark for JSON
	switch {
	case len(object) > 0 && object[0] == '{' && likelyJSON(object) && d.parseJSON(e, object):
	case d.parseAccess(e, bytes.TrimLeft(msg, " ")):
	case d.parseLogfmt(e, bytes.TrimLeft(msg, " ")):
	default:
		e.Message = borrow(msg)
		d.plain(e, msg)
	}
}

// plain reads level, logger and the like from the first line of a plain
// message. Its time yields to the header's.
func (d *Decoder) plain(e *millrace.Event, first []byte) {
	t := textHeader{e: e, line: first[:min(len(first), maxTextHeader)], arrived: d.b.Record.Arrived}
	t.parse()
	e.Time, e.HasTime = d.b.Record.Arrived, false
}

// syslogFields adds the header to e where the message did not say otherwise.
func (d *Decoder) syslogFields(e *millrace.Event, h *syslogHeader) {
	d.distinct = false
	r := d.b.Record
	if e.Host == r.Host && present(h.host) {
		e.Host = borrow(h.host)
	}
	if e.Service == r.Service && present(h.app) {
		e.Service = borrow(h.app)
	}
	switch {
	case e.HasTime || !h.timed:
	case h.fits:
		e.Time, e.HasTime = h.ns, true
	default:
		setText(e, millrace.AttrTimeOriginal, h.original)
	}
	if h.pri >= 0 {
		if e.Level == "" {
			e.Level = severityNames[h.pri&7]
		}
		if h.pri>>3 < len(facilityNames) {
			e.Extend().SetString(attrFacility, facilityNames[h.pri>>3])
		}
	}
	if present(h.proc) {
		if len(h.proc) < 10 && skipDigits(h.proc, 0) == len(h.proc) {
			e.Extend().SetInt(attrPID, smallInt(h.proc))
		} else {
			setText(e, attrProcID, h.proc)
		}
	}
	setText(e, attrMsgID, h.msgid)
	if len(h.sequence) > 0 {
		setText(e, attrSequence, h.sequence)
	}
	if len(h.zone) > 0 {
		setText(e, attrTimeZone, h.zone)
	}
	d.structuredData(e, h.sd)
}

func present(b []byte) bool { return len(b) > 0 && (len(b) > 1 || b[0] != '-') }

// scanSyslog parses a header.
func scanSyslog(b []byte, arrived int64, h *syslogHeader) bool {
	h.pri = -1
	i := 0
	if b[0] == '<' {
		var ok bool
		if i, ok = scanPriority(b, h); !ok {
			return false
		}
		if scan5424(b, i, h) {
			return true
		}
	} else if c := b[0] | 0x20; c != 'j' && c != 'f' && c != 'm' && c != 'a' && c != 's' && c != 'o' && c != 'n' && c != 'd' && !isDigit(b[0]) {
		return false // starts with no month and no digit
	}
	return scan3164(b, i, arrived, h)
}

// scanPriority parses <PRI> and returns where it ends.
func scanPriority(b []byte, h *syslogHeader) (int, bool) {
	pri, end := number(b, 1, 3)
	if end == 0 || end >= len(b) || b[end] != '>' || pri > 191 {
		return 0, false
	}
	h.pri = pri
	return end + 1, true
}

// scan5424 parses what follows the priority in RFC 5424.
func scan5424(b []byte, i int, h *syslogHeader) bool {
	rest, ok := scan5424Head(b, i, h)
	if !ok {
		return false
	}
	if len(rest) > 0 && rest[0] == '-' {
		rest = rest[1:]
	} else if n := sdEnd(rest); n > 0 {
		h.sd, rest = rest[:n], rest[n:]
	}
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	h.msg = bytes.TrimPrefix(rest, bom)
	return true
}

// scan5424Head parses the fields before the structured data and returns what is
// behind them.
func scan5424Head(b []byte, i int, h *syslogHeader) (rest []byte, ok bool) {
	version, end := number(b, i, 2)
	if end == 0 || version == 0 || end >= len(b) || b[end] != ' ' {
		return nil, false
	}
	i = end + 1
	var field [5][]byte // time, host, app, procid, msgid
	for k := range field {
		n := bytes.IndexByte(b[i:], ' ')
		if n < 0 {
			if k < 4 {
				return nil, false
			}
			n = len(b) - i
		}
		field[k] = b[i : i+n]
		i = min(i+n+1, len(b))
	}
	if present(field[0]) {
		ns, n, ok := parseTime(field[0], 0)
		if n != len(field[0]) {
			return nil, false
		}
		h.ns, h.timed, h.fits, h.zoned, h.original = ns, true, ok, true, field[0]
	}
	h.host, h.app, h.proc, h.msgid = field[1], field[2], field[3], field[4]
	return b[i:], true
}

// scan3164 parses time, host and tag from i on.
func scan3164(b []byte, i int, arrived int64, h *syslogHeader) bool {
	if h.pri >= 0 && scanCisco(b, i, arrived, h) {
		return true
	}
	from := i
	ns, n, ok := deviceTime(b[i:], arrived)
	if n == 0 {
		if h.pri < 0 {
			return false
		}
		h.msg = b[i:]
		h.tag(false)
		return true
	}
	h.ns, h.timed, h.fits, h.original = ns, true, ok, b[i:i+n]
	h.zoned = isDigit(b[i])
	i += n
	if h.pri >= 0 && i < len(b) && b[i] == ':' { // Cisco: "time: message"
		i++
	}
	if i >= len(b) || b[i] != ' ' {
		return h.pri >= 0 && h.noTime(b, from, i)
	}
	rest := b[i+1:]
	sp := bytes.IndexByte(rest, ' ')
	if sp == 0 { // the host is empty
		h.msg = bytes.TrimLeft(rest, " ")
		return h.tag(h.pri < 0) && present(h.proc) || h.pri >= 0
	}
	if sp < 0 {
		if h.pri < 0 {
			return false
		}
		h.msg = rest
		return true
	}
	host := rest[:sp]
	if hasPrefix(rest, "--- last message repeated") { // syslogd of BSD and macOS
		h.msg = rest
		return true
	}
	if h.pri < 0 && (isLevel(host) || !hostWord(host)) {
		return false
	}
	h.msg = rest
	if host[len(host)-1] == ':' || bytes.IndexByte(host, '[') >= 0 {
		return h.tag(false) || h.pri >= 0 // no host at all
	}
	h.host, h.msg = host, rest[sp+1:]
	tagged := h.tag(h.pri < 0)
	if h.pri >= 0 {
		return true
	}
	if !tagged {
		return !h.zoned && hasPrefix(h.msg, "last message repeated")
	}
	return !h.zoned || rsyslogTime(h)
}

// noTime makes what follows the priority the message, where text goes on at i
// behind what begins at from like a time; if nothing does there is no message.
func (h *syslogHeader) noTime(b []byte, from, i int) bool {
	if i < len(b) {
		h.timed, h.original, h.msg = false, nil, b[from:]
	}
	return true
}

// rsyslogTime reports whether an ISO time is one that rsyslog writes to files,
// or a PID leaves no doubt.
func rsyslogTime(h *syslogHeader) bool {
	t := h.original
	if len(t) < 20 || t[10] != 'T' {
		return len(t) > 18 && present(h.proc)
	}
	_, frac := fraction(t[min(20, len(t)):])
	last := t[len(t)-6:]
	return frac >= 6 || present(h.proc) || last[0] == '+' || last[0] == '-'
}

// tag cuts "TAG[PID]: " off h.msg and reports whether it is there. strict
// refuses a tag that is a level.
func (h *syslogHeader) tag(strict bool) bool {
	const maxTag = 64 // RFC 3164 allows 32; containers have longer names
	b := h.msg
	i := 0
	for i < len(b) && i <= maxTag && b[i] > ' ' && b[i] != ':' && b[i] != '[' {
		i++
	}
	if i > 0 && i < len(b) && b[i] == ' ' {
		i = spacedTag(b, i)
	}
	if i == 0 || i >= len(b) || i > maxTag {
		return false
	}
	app, proc := b[:i], []byte(nil)
	if b[i] == '[' {
		n := bytes.IndexByte(b[i:], ']')
		if n < 2 || n > maxTag {
			return false
		}
		proc = b[i+1 : i+n]
		i += n + 1
		// launchd: "com.apple.xpc.launchd[1] (com.apple.quicklook[1]): message"
		if i+1 < len(b) && b[i] == ' ' && b[i+1] == '(' {
			if n := bytes.IndexByte(b[i:], ')'); n > 0 && i+n+1 < len(b) && b[i+n+1] == ':' {
				i += n + 1
			}
		}
	}
	if i >= len(b) || b[i] != ':' || (i+1 < len(b) && b[i+1] != ' ' && b[i+1] != '\n') {
		return false
	}
	if strict && isLevel(app) {
		return false
	}
	h.app, h.proc = app, proc
	h.msg = b[min(i+2, len(b)):]
	return true
}

// spacedTag returns where a tag of a few words ends, such as macOS writes them:
// "Google Chrome[85294]: message". Only a number in brackets, and a colon, makes
// one of them. i is where the first word ends; 0 if there is no such tag.
func spacedTag(b []byte, i int) int {
	for spaces := 0; i < len(b) && i <= 64; i++ {
		switch c := b[i]; {
		case c == ' ':
			if spaces++; spaces > 2 {
				return 0
			}
		case c == '[':
			n := skipDigits(b, i+1)
			if n == i+1 || !bytes.HasPrefix(b[n:], []byte("]:")) {
				return 0
			}
			return i
		case !isAlnum(c) && c != '.' && c != '-' && c != '_':
			return 0
		}
	}
	return 0
}

// hostWord reports whether b looks like a host name or address.
func hostWord(b []byte) bool {
	if len(b) == 0 || !isAlnum(b[0]) {
		return false
	}
	for i, c := range b {
		switch {
		case isAlnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '%':
		case c == '[' && i > 0, c == ']' && i > 0, c == '(' && i > 0, c == ')' && i > 0, c == '/' && i > 0:
		default:
			return false
		}
	}
	return true
}
