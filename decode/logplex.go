package decode

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Heroku's log drains over HTTPS (application/logplex-1; devcenter.heroku.com,
// "Log Drains"): a frame of syslog messages, each behind its length in bytes and
// a space (RFC 6587 octet counting):
//
//	83 <40>1 2012-11-30T06:45:29+00:00 host app web.3 - State changed from starting to up
//
// The header is RFC 5424's without STRUCTURED-DATA, not even a dash, so that a
// message may begin with a bracket. Its fields become
//
//	priority   level (unless the message tells) and the attribute facility
//	time       time
//	hostname   the attribute hostname, unless it is "host" or the drain's token,
//	           which is what Heroku writes
//	app name   service, unless it is "app" or "heroku", which Heroku writes
//	           whatever the app; the attribute app always
//	procid     host (the dyno, or the platform's part) and the attribute procid
//	msgid      the attribute msgid
//
// The message is decoded as behind any syslog header. A router's line is an
// access log: rt is connect + service, rt_backend service, client_ip the first of
// fwd; at is its level.
//
// extra is a JSON object of the request's headers: drain_token
// (Logplex-Drain-Token, an attribute), frame_id (Logplex-Frame-Id) and count
// (Logplex-Msg-Count). Token, frame and place within the frame are the ID of an
// event. Fewer or more messages than count are noted as "msg_count_mismatch".
//
// Limits: a message lim.MaxEvent bytes. What follows a length that cannot be
// read is refused as one. Deviation: a message without a header that can be read
// is an event of its text.

// Reasons of refusals and skips of log drains.
const (
	ReasonBadFrameLength   = "bad_frame_length"
	ReasonMsgCountMismatch = "msg_count_mismatch"
)

const (
	attrApp        = "app"
	attrHostname   = "hostname"
	attrDrainToken = "drain_token"
)

// herokuPriority is what Heroku's documentation and older platform have before
// every message, syslog.emerg, however harmless: it says nothing about the level.
const herokuPriority = 40

// logplexFrame is what all messages of a request share.
type logplexFrame struct {
	DrainToken string `json:"drain_token"`
	FrameID    string `json:"frame_id"`
	Count      int64  `json:"count"`
}

// splitLogplex is Split of "logplex". An item is a message's place in its frame,
// from 0, as uvarint, and the message; the context is extra.
func splitLogplex(res *Pieces, extra, body []byte, lim Limits) error {
	var f logplexFrame
	if len(extra) > 0 {
		if err := json.Unmarshal(extra, &f); err != nil {
			return millrace.Errorf(millrace.ErrInvalid, "extra: %v", err)
		}
	}
	base := f.base()
	n := 0
	for i := skipLineEnds(body, 0); i < len(body); i = skipLineEnds(body, i) {
		start, end := logplexMessage(body, i)
		if lim.MaxEvents > 0 && n >= lim.MaxEvents {
			return tooManyEvents(lim.MaxEvents)
		}
		if end < 0 {
			n++
			res.refuse(n, ReasonBadFrameLength, fmt.Sprintf(
				"byte %d: expected the length of a message and a space; the %d bytes from there are refused", i+1, len(body)-i), body[i:])
			break
		}
		msg := trimEnd(body[start:end])
		n++
		i = end
		switch {
		case blank(msg):
			res.refuse(n, ReasonEmpty, "the message is empty", body[start:end])
		case len(msg) > int(lim.MaxEvent):
			res.refuse(n, ReasonTooLarge, tooLargeDetail(len(msg), lim), msg)
		case !utf8.Valid(msg):
			res.refuse(n, ReasonBadUTF8, fmt.Sprintf("byte %d of the message: invalid UTF-8", 1+invalidUTF8(msg)), msg)
		default:
			item := binary.AppendUvarint(res.Text(binary.MaxVarintLen32+len(msg)), uint64(n-1))
			res.Events = append(res.Events, Piece{Context: extra, Item: append(item, msg...), Index: n, ID: logplexID(base, uint64(n-1))})
		}
	}
	if diff := f.Count - int64(n); f.Count > 0 && diff != 0 {
		res.skip(ReasonMsgCountMismatch, max(diff, -diff), fmt.Appendf(nil, "Logplex-Msg-Count is %d, the frame has %d messages", f.Count, n))
	}
	return nil
}

func skipLineEnds(b []byte, i int) int {
	for i < len(b) && (b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// logplexMessage returns where the message behind the length at i lies; end is
// negative if there is none.
func logplexMessage(b []byte, i int) (start, end int) {
	n, at := 0, i
	for at < len(b) && isDigit(b[at]) && at-i < 9 {
		n = n*10 + int(b[at]-'0')
		at++
	}
	if at == i || n == 0 || at >= len(b) || b[at] != ' ' || n > len(b)-at-1 {
		return 0, -1
	}
	return at + 1, at + 1 + n
}

// base is what the IDs of a frame's messages have in common; all zero if the
// frame has no ID.
func (f *logplexFrame) base() (id [16]byte) {
	if f.FrameID == "" {
		return id
	}
	sum := sha256.Sum256([]byte(f.DrainToken + "\x00" + f.FrameID))
	copy(id[:], sum[:])
	return id
}

// logplexID adds the place of a message within its frame to the frame's ID.
func logplexID(base [16]byte, place uint64) [16]byte {
	if base == ([16]byte{}) {
		return base
	}
	binary.BigEndian.PutUint64(base[8:], binary.BigEndian.Uint64(base[8:])+place)
	return base
}

// logplexPieceID is the ID that Split gave to a piece.
func logplexPieceID(context, item []byte) [16]byte {
	var f logplexFrame
	place, n := binary.Uvarint(item)
	if n <= 0 || len(context) == 0 || json.Unmarshal(context, &f) != nil {
		return [16]byte{}
	}
	return logplexID(f.base(), place)
}

// logplex decodes one message.
func (d *Decoder) logplex(ordinal int32, context, item []byte) {
	_, n := binary.Uvarint(item)
	if n <= 0 || blank(item[n:]) {
		d.b.Reject(ordinal, ReasonEmpty, "the message is empty", item)
		return
	}
	line := item[n:len(item):len(item)]
	token := d.logplexToken(context)
	e := d.b.Add(ordinal)
	var h syslogHeader
	if !scanLogplex(line, &h) {
		d.anyLine(e, line)
		d.logplexText(e, attrDrainToken, token)
		return
	}
	app, proc, host := h.app, h.proc, h.host
	if string(app) == "app" || string(app) == "heroku" {
		h.app = nil
	}
	h.host, h.proc = proc, nil
	d.syslogMessage(e, line, &h)
	level := e.Level
	d.syslogFields(e, &h)
	if level == "" && h.pri == herokuPriority {
		e.Level = ""
	}
	if string(proc) == "router" {
		d.herokuRouter(e, level)
	}
	d.logplexText(e, attrApp, borrow(app))
	d.logplexText(e, attrProcID, borrow(proc))
	if string(host) != "host" && string(host) != token {
		d.logplexText(e, attrHostname, borrow(host))
	}
	d.logplexText(e, attrDrainToken, token)
}

// logplexText adds an attribute if it says anything and the message did not.
func (d *Decoder) logplexText(e *millrace.Event, key, text string) {
	if text == "" || text == "-" {
		return
	}
	if _, ok := e.Attr(key); !ok {
		e.Extend().SetString(key, text)
	}
}

// logplexToken returns the drain's token of a context as Split got it.
func (d *Decoder) logplexToken(context []byte) string {
	i := skipSpace(context, 0)
	if i >= len(context) || context[i] != '{' || skipValue(context, i, 0) < 0 {
		return ""
	}
	for i = skipSpace(context, i+1); i < len(context) && context[i] == '"'; {
		key, v := d.jsonKey(context, i)
		value, _, end := d.jsonValue(context, v)
		if key == attrDrainToken && value.Kind() == millrace.ValueString {
			return value.String()
		}
		if i = skipSpace(context, end); i < len(context) && context[i] == ',' {
			i = skipSpace(context, i+1)
		}
	}
	return ""
}

// scanLogplex parses a header: that of RFC 5424 up to MSGID.
func scanLogplex(b []byte, h *syslogHeader) bool {
	h.pri = -1
	if b[0] != '<' {
		return false
	}
	i, ok := scanPriority(b, h)
	if !ok {
		return false
	}
	rest, ok := scan5424Head(b, i, h)
	h.msg = bytes.TrimPrefix(rest, bom)
	return ok
}

// herokuRouter completes the event of a router's line. level is what the line
// says of it.
func (d *Decoder) herokuRouter(e *millrace.Event, level string) {
	if at, ok := e.Attr("at"); ok && level == "" {
		setLevel(e, at.String())
	}
	if e.Kind != millrace.KindAccess {
		return
	}
	service, ok := routerTime(e, "service")
	if !ok {
		return
	}
	connect, _ := routerTime(e, "connect")
	d.logplexSeconds(e, millrace.AttrRT, connect+service)
	d.logplexSeconds(e, millrace.AttrRTBackend, service)
	if fwd, ok := e.Attr("fwd"); ok {
		first, _, _ := strings.Cut(fwd.String(), ",")
		d.logplexText(e, millrace.AttrClientIP, strings.TrimSpace(first))
	}
}

func (d *Decoder) logplexSeconds(e *millrace.Event, key string, t time.Duration) {
	if _, ok := e.Attr(key); ok {
		return
	}
	text := strconv.AppendFloat(d.b.Text(32), t.Seconds(), 'f', -1, 64)
	e.Extend().SetNumber(key, t.Seconds(), borrow(text))
}

// routerTime reads a duration in milliseconds, "18ms".
func routerTime(e *millrace.Event, key string) (time.Duration, bool) {
	v, ok := e.Attr(key)
	if !ok || v.Kind() != millrace.ValueString {
		return 0, false
	}
	digits, ok := strings.CutSuffix(v.String(), "ms")
	if !ok || len(digits) == 0 || len(digits) > 12 || skipDigits(unborrow(digits), 0) != len(digits) {
		return 0, false
	}
	return time.Duration(smallInt(unborrow(digits))) * time.Millisecond, true
}
