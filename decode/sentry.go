package decode

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Sentry's ingest protocol, version 7: what SDKs send.
//
// Sources: develop.sentry.dev, "Envelopes", "Event Payloads", "Logs" (2.1.0),
// as of November 2026; getsentry/relay where these leave room.
//
// "sentry" is an envelope: a line of JSON headers, then items, each a line of
// JSON headers and a payload of the length that these give, or to the end of the
// line. Of its items, event and log (a list of entries) become events. All
// others, which are no logs and no crashes, are skipped and counted by type as
// "sentry_<type>": transactions, sessions, client reports, attachments,
// minidumps, replays, profiles, user feedback, …
//
// "sentry-event" is an event alone, as the store endpoint takes it.
//
// What becomes of an event: sentry_event.go and docs/protocols/sentry.md. Dropped
// from the envelope are dsn and trace.public_key, since both hold a key; of items
// type, length, item_count and content_type.
//
// Limits: an event as large as a queue record less its context, 1 MiB about;
// maxSentryItems items of an envelope and entries of all its log items.
//
// Deviations: blank lines before an item are skipped. The payload of an item whose
// length is wrong is its line, if that is a JSON object and the item no
// attachment; else the envelope ends there, and what is before it is kept. An event
// that has no event_id gets the envelope's, unless it is not the first. The store
// endpoint takes no base64, which SDKs of before 2018 send.

// maxSentryItems bounds what an envelope holds: SDKs send one event, or up to 100
// log entries.
const maxSentryItems = 10_000

// Reasons of Split for this format besides those of lines.
const (
	ReasonEventTooLarge = "event_too_large"
	ReasonBadEnvelope   = "bad_envelope"
	reasonTooMany       = "sentry_too_many_items"
	ReasonNotSentry     = "not_sentry"
)

// A context is a letter for what the item is, and the headers as a JSON object.
const (
	sentryContextEvent = 'e'
	sentryContextLog   = 'l'
)

// sentryTypes are the types of items that are counted by their names; they come
// from clients, and must not fill the ledger.
var sentryTypes = map[string]string{}

func init() {
	for _, t := range []string{
		"transaction", "session", "sessions", "client_report", "check_in", "profile", "profile_chunk", "replay_event",
		"replay_recording", "replay_video", "statsd", "metric_buckets", "trace_metric", "attachment", "user_report",
		"feedback", "span", "otel_log", "security", "raw_security", "unreal_report", "form_data", "nel",
	} {
		sentryTypes[t] = "sentry_" + t
	}
}

// sentryBuild splits one envelope.
type sentryBuild struct {
	p        *Pieces
	lim      Limits
	body     []byte
	head     []byte // the envelope's header line
	contexts [2][]byte
	events   int // pieces and refused ones, for their numbers
	items    int
	named    bool // an event had its ID, or took the envelope's
}

func splitSentry(p *Pieces, _, body []byte, lim Limits) error {
	s := sentryBuild{p: p, lim: lim, body: body}
	head, at := sentryLine(body, 0)
	if len(bytes.TrimSpace(head)) == 0 && at >= len(body) {
		return nil // nothing was sent
	}
	if pos, ok := checkJSON(head); !ok {
		return millrace.Errorf(millrace.ErrInvalid, "line 1, the envelope's headers: %s", describeJSON(head, pos))
	}
	if !utf8.Valid(head) {
		return millrace.Errorf(millrace.ErrInvalid, "line 1, the envelope's headers: invalid UTF-8")
	}
	s.head = head
	for at < len(body) {
		var ok bool
		if at, ok = s.item(at); !ok {
			break
		}
	}
	return nil
}

// sentryLine returns the line at body[at:] and where the next one begins.
func sentryLine(body []byte, at int) (line []byte, next int) {
	end := bytes.IndexByte(body[at:], '\n')
	if end < 0 {
		return trimEnd(body[at:]), len(body)
	}
	return trimEnd(body[at : at+end]), at + end + 1
}

// item takes the item whose header begins at body[at:]. next is behind it; ok is
// false if it is not known where that is.
func (s *sentryBuild) item(at int) (next int, ok bool) {
	line, next := sentryLine(s.body, at)
	if len(bytes.TrimSpace(line)) == 0 {
		return next, true
	}
	if s.items++; s.items > maxSentryItems {
		s.p.skip(reasonTooMany, 1, line)
		return 0, false
	}
	kind, length, err := sentryItem(line)
	if err != "" {
		s.refuse(ReasonBadEnvelope, fmt.Sprintf("the headers of item %d: %s", s.items, err), line)
		return 0, false
	}
	payload, after, problem := s.framed(next, length)
	if problem != "" && kind != "attachment" {
		if text, behind := sentryLine(s.body, next); len(text) > 0 && text[0] == '{' {
			if _, ok := checkJSON(text); ok {
				payload, after, problem = text, behind, ""
			}
		}
	}
	if problem != "" {
		s.refuse(ReasonBadEnvelope, fmt.Sprintf("item %d %s", s.items, problem), line)
		return 0, false
	}
	s.payload(kind, line, payload)
	return after, true
}

// framed returns the payload at s.body[at:] of that length, negative for the rest
// of the line, and where the next item begins.
func (s *sentryBuild) framed(at int, length int64) (payload []byte, next int, problem string) {
	if length < 0 {
		payload, next = sentryLine(s.body, at)
		return payload, next, ""
	}
	if most := len(s.body) - at; length > int64(most) {
		return nil, 0, fmt.Sprintf("of %d bytes is cut off after %d", length, most)
	}
	end := at + int(length)
	rest, next := sentryLine(s.body, end)
	if len(rest) > 0 {
		return nil, 0, fmt.Sprintf("does not end after %d bytes, the length in its headers", length)
	}
	return s.body[at:end:end], next, ""
}

func (s *sentryBuild) refuse(reason, detail string, part []byte) {
	s.events++
	s.p.refuse(s.events, reason, detail, part)
}

// sentryItem reads the headers of an item. length is negative if they have none,
// problem says what is wrong with them.
func sentryItem(line []byte) (kind string, length int64, problem string) {
	if pos, ok := checkJSON(line); !ok {
		return "", 0, describeJSON(line, pos)
	}
	if !utf8.Valid(line) {
		return "", 0, "invalid UTF-8"
	}
	length = -1
	eachMember(line, skipSpace(line, 0), func(key []byte, at int) (end int) {
		switch string(key) {
		case "type":
			kind, end = plainText(line, at)
		case "length":
			end = skipValue(line, at, 1)
			n, err := strconv.ParseInt(borrow(line[at:end]), 10, 64)
			if (err != nil || n < 0) && line[at] != 'n' {
				problem = "length must be a number of bytes"
			} else if err == nil {
				length = n
			}
		default:
			end = skipValue(line, at, 1)
		}
		return end
	})
	if kind == "" && problem == "" {
		problem = "type is missing"
	}
	return kind, length, problem
}

func (s *sentryBuild) payload(kind string, line, payload []byte) {
	switch kind {
	case "event":
		s.event(line, payload)
	case "log":
		s.logs(line, payload)
	default:
		reason, ok := sentryTypes[kind]
		if !ok {
			reason = "sentry_other"
		}
		example := payload
		if !utf8.Valid(payload[:min(len(payload), millrace.MaxExample)]) {
			example = line
		}
		s.p.skip(reason, 1, example)
	}
}

func (s *sentryBuild) event(line, payload []byte) {
	id, ok := s.check(payload)
	if !ok {
		return
	}
	context := s.context(sentryContextEvent, line)
	if id == ([16]byte{}) && !s.named {
		id = sentryHeaderID(context)
	}
	s.named = true
	s.add(context, payload, id)
}

func (s *sentryBuild) add(context, item []byte, id [16]byte) {
	s.events++
	s.p.Events = append(s.p.Events, Piece{Context: context, Item: item, Index: s.events, ID: id})
}

// check refuses an event that is too large or malformed. id is its event_id.
func (s *sentryBuild) check(item []byte) (id [16]byte, ok bool) {
	if len(item) > int(s.lim.MaxEvent) {
		s.refuse(ReasonEventTooLarge, fmt.Sprintf("%d bytes, the limit is %d", len(item), s.lim.MaxEvent), item)
		return id, false
	}
	id, well := sentryID(item)
	if !well {
		pos, _ := checkJSON(item)
		s.refuse(ReasonBadJSON, describeJSON(item, pos), item)
		return id, false
	}
	if !utf8.Valid(item) {
		s.refuse(ReasonBadUTF8, fmt.Sprintf("column %d: invalid UTF-8", 1+invalidUTF8(item)), item)
		return id, false
	}
	return id, true
}

// sentryID returns the event_id of an event, and whether it is one well-formed
// object.
func sentryID(item []byte) (id [16]byte, ok bool) {
	i := skipSpace(item, 0)
	if i >= len(item) || item[i] != '{' {
		return id, false
	}
	i = eachMember(item, i, func(key []byte, at int) int {
		if string(key) != "event_id" {
			return skipValue(item, at, 1)
		}
		text, end := plainText(item, at)
		id = parseUUID(text)
		return end
	})
	return id, i > 0 && skipSpace(item, i) == len(item)
}

// parseUUID reads 32 hexadecimal digits, with dashes or without; zero if it is
// none.
func parseUUID(s string) (id [16]byte) {
	n := 0
	for i := range len(s) {
		if s[i] == '-' {
			continue
		}
		v := hexValue(s[i])
		if v > 15 || n == 32 {
			return [16]byte{}
		}
		id[n/2] = id[n/2]<<4 | v
		n++
	}
	if n != 32 {
		return [16]byte{}
	}
	return id
}

// logs makes an event of each entry of a log item.
func (s *sentryBuild) logs(line, payload []byte) {
	if pos, ok := checkJSON(payload); !ok {
		s.refuse(ReasonBadJSON, fmt.Sprintf("item %d: %s", s.items, describeJSON(payload, pos)), payload)
		return
	}
	var context []byte
	found := false
	eachMember(payload, skipSpace(payload, 0), func(key []byte, at int) int {
		if string(key) != "items" {
			return skipValue(payload, at, 1)
		}
		found = true
		return eachElement(payload, at, func(at int) int {
			end := skipValue(payload, at, 1)
			if s.events >= maxSentryItems {
				s.p.skip(reasonTooMany, 1, payload[at:end])
				return end
			}
			if context == nil {
				context = s.context(sentryContextLog, line)
			}
			if _, ok := s.check(payload[at:end:end]); ok {
				s.add(context, payload[at:end:end], [16]byte{})
			}
			return end
		})
	})
	if !found {
		s.refuse(ReasonBadEnvelope, fmt.Sprintf("item %d: a log item must be an object with items", s.items), payload)
	}
}

// context returns what the events of one kind have in common: the letter and
// {envelope's headers…, "item": {item's headers…}}. The first item's headers are
// taken for all of its kind; they say nothing more than the envelope's in what
// SDKs send.
func (s *sentryBuild) context(kind byte, line []byte) []byte {
	which := &s.contexts[bit(kind == sentryContextLog)]
	if *which != nil {
		return *which
	}
	b := s.p.Text(len(s.head) + len(line) + len(`l{"item":{},}`))
	b = append(b, kind, '{')
	b = appendMembers(b, s.head, func(key string) bool { return key != "dsn" })
	n := len(b)
	if b[n-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, `"item":{`...)
	from := len(b)
	b = appendMembers(b, line, func(key string) bool { return !sentryPlumbing(key) })
	if len(b) == from {
		b = b[:n]
	} else {
		b = append(b, '}')
	}
	*which = append(b, '}')
	return *which
}

// sentryPlumbing are the headers of an item that only say how to read it.
func sentryPlumbing(key string) bool {
	return key == "type" || key == "length" || key == "content_type" || key == "item_count"
}

// appendMembers appends the members of a well-formed object that keep wants.
// Those whose keys have escapes are left out, too: nobody writes them, and they
// could stand for a name that is not wanted. So is trace.public_key.
func appendMembers(dst, object []byte, keep func(key string) bool) []byte {
	first := true
	eachMember(object, skipSpace(object, 0), func(key []byte, at int) int {
		end := skipValue(object, at, 1)
		if bytes.IndexByte(key, '\\') >= 0 || !keep(borrow(key)) {
			return end
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), key...), `":`...)
		if string(key) == "trace" && object[at] == '{' {
			dst = append(dst, '{')
			dst = appendMembers(dst, object[at:end], func(key string) bool { return key != "public_key" })
			dst = append(dst, '}')
		} else {
			dst = append(dst, object[at:end]...)
		}
		return end
	})
	return dst
}

func sentryHeaderID(context []byte) (id [16]byte) {
	if len(context) > 1 && context[0] == sentryContextEvent {
		id, _ = sentryID(context[1:])
	}
	return id
}

// sentryPieceID is the ID of a stored event. A second event of an envelope
// without an ID of its own has that of the envelope here, which is known anyway.
func sentryPieceID(context, item []byte) [16]byte {
	if len(context) > 0 && context[0] == sentryContextLog {
		return [16]byte{}
	}
	if id, _ := sentryID(item); id != ([16]byte{}) {
		return id
	}
	return sentryHeaderID(context)
}

func splitSentryEvent(p *Pieces, _, body []byte, lim Limits) error {
	s := sentryBuild{p: p, lim: lim, body: body}
	item := bytes.TrimSpace(body)
	if len(item) == 0 {
		return nil
	}
	if id, ok := s.check(item[:len(item):len(item)]); ok {
		s.add(nil, item[:len(item):len(item)], id)
	}
	return nil
}

// SentryHeader returns the DSN and the event ID in the headers of an envelope, ""
// for what is not there.
func SentryHeader(envelope []byte) (dsn, id string) {
	head, _ := sentryLine(envelope, 0)
	if _, ok := checkJSON(head); !ok {
		return "", ""
	}
	eachMember(head, skipSpace(head, 0), func(key []byte, at int) (end int) {
		switch string(key) {
		case "dsn":
			dsn, end = jsonText(head, at)
		case "event_id":
			id, end = plainText(head, at)
		default:
			end = skipValue(head, at, 1)
		}
		return end
	})
	return dsn, id
}

// jsonText returns the string at b[i:], a copy if it has escapes: slashes may.
func jsonText(b []byte, i int) (s string, end int) {
	if s, end = plainText(b, i); s == "" && end > i+2 && b[i] == '"' {
		s = string(unescape(nil, b[i+1:end-1]))
	}
	return s, end
}
