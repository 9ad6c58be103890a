package decode

import (
	"strings"

	"github.com/millrace/millrace"
)

// An event of Sentry's protocol becomes
//
//   - kind exception, if it has an exception or a thread that crashed, with the
//     Report that the pipeline fingerprints (sentry_exception.go) and the message
//     "Type: value" of the exception raised last; else kind log with the text of
//     logentry or message, formatted with its parameters if the SDK did not;
//   - time from timestamp, level (error if there is none, as Sentry has it), env
//     from environment, release, host from server_name, trace_id from
//     contexts.trace.trace_id or the envelope's trace;
//   - service from the tag service (service.name, service_name); without one, if
//     the request names none, contexts.app.app_name, then what is before the '@'
//     of the release (Sentry's package@version);
//   - attributes: the members of user, request, sdk, tags and extra as user.id,
//     request.url, …, those of contexts one level deeper (contexts.os.name), all
//     other members of the event under their own names, objects as JSON. Names
//     that mean something else here get "sentry." in front: sentry.fingerprint,
//     sentry.type. The headers of the envelope are envelope.sent_at and so on; its
//     sdk is left out if the event has the same.
//
// Each is stored once but for frames: the Report has them, and exception and threads
// everything as sent, with source lines and variables. null is absent. Of two fields that end with one name the last wins.

// sentryState is the decoder's state for one event, kept for its memory.
type sentryState struct {
	b        []byte // the event
	platform string

	// Where in b a value begins, 0 for absent.
	logentry, message, threads, stack, images int
	used                                      int // the stack that the exceptions took from a thread

	service, app string // by tag, and by contexts.app
	serviceRank  uint8
	sdk          string // as JSON

	report sentryReport
}

// sentry makes an event of an item of an envelope, or of an event alone.
func (d *Decoder) sentry(ordinal int32, context, item []byte) {
	if d.sentryState == nil {
		d.sentryState = &sentryState{}
	}
	s := d.sentryState
	s.begin(item)
	e := d.b.Add(ordinal)
	given := e.Service
	entry := len(context) > 0 && context[0] == sentryContextLog
	var ok bool
	if entry {
		ok = d.sentryLog(e, s)
	} else {
		ok = d.sentryEvent(e, s, given)
	}
	if !ok {
		pos, _ := checkJSON(item)
		d.b.Drop()
		d.b.Reject(ordinal, ReasonNotSentry, describeJSON(item, pos), item)
		return
	}
	if len(context) > 1 {
		d.sentryEnvelope(e, s, context[1:], entry)
	}
}

func (s *sentryState) begin(item []byte) {
	report := s.report
	report.reset()
	*s = sentryState{b: item, report: report}
}

func (d *Decoder) sentryEvent(e *millrace.Event, s *sentryState, given string) bool {
	i := skipSpace(s.b, 0)
	if i >= len(s.b) || s.b[i] != '{' {
		return false
	}
	i = eachMember(s.b, i, func(key []byte, at int) int { return d.sentryMember(e, s, key, at) })
	if i < 0 || skipSpace(s.b, i) != len(s.b) {
		return false
	}
	if s.service != "" {
		e.Service = s.service
	} else if given == "" {
		if e.Service = s.app; e.Service == "" {
			if name, _, ok := strings.Cut(e.Release, "@"); ok {
				e.Service = name
			}
		}
	}
	e.Report = d.sentryReport(s)
	if e.Report != nil {
		e.Kind = millrace.KindException
	}
	d.sentryText(e, s)
	if e.Level == "" {
		e.Level = levelError
	}
	return true
}

// sentryMember files one member of the event and returns where its value ends.
func (d *Decoder) sentryMember(e *millrace.Event, s *sentryState, key []byte, at int) (end int) {
	b := s.b
	if at < len(b) && b[at] == 'n' {
		return skipValue(b, at, 1)
	}
	switch string(key) {
	case "timestamp", "level", "environment", "release", "server_name":
		return d.sentryColumn(e, b, borrow(key), at)
	case "exception", "sentry.interfaces.Exception":
		end = d.sentryExceptions(s, at)
		return d.sentryKeep(e, b, "exception", at, end)
	case "platform":
		s.platform, _ = plainText(b, at)
	case "threads":
		s.threads = at
	case "stacktrace", "sentry.interfaces.Stacktrace":
		s.stack = at
	case "debug_meta":
		s.images = at
	case "logentry", "sentry.interfaces.Message":
		s.logentry = at
		return skipValue(b, at, 1)
	case "message":
		s.message = at
		return skipValue(b, at, 1)
	case "contexts":
		return d.sentryContexts(e, s, at)
	case "tags":
		return d.sentryTags(e, s, at)
	case "sdk":
		end = d.flatten(e, "sdk", b, at)
		s.sdk = borrow(b[at:max(at, end)])
		return end
	case "user", "request", "extra":
		return d.flatten(e, borrow(key), b, at)
	}
	return d.attrAt(e, d.sentryName(d.keyText(key)), b, at)
}

// sentryName returns the name of the attribute for a member of an event.
func (d *Decoder) sentryName(key string) string {
	switch key {
	case "time", "project", "source", "kind", "service", "host", "env", "level", "release", "trace_id", "message", "weight",
		millrace.AttrType, millrace.AttrFingerprint, millrace.AttrFrames, millrace.AttrReport, millrace.AttrErrorClass, millrace.AttrTimeOriginal, attrLevelOriginal,
		"cause", "exception_message", "timestamp", "environment", "server_name":
		return d.joinName("sentry", key)
	}
	return key
}

// sentryColumn sets a column from a member, or keeps it as attribute if it is
// none.
func (d *Decoder) sentryColumn(e *millrace.Event, b []byte, key string, at int) int {
	v, raw, end := d.jsonValue(b, at)
	if end < 0 {
		return end
	}
	text := scalar(v, raw[0], raw)
	ok := text != "" || raw[0] == '"'
	switch key {
	case "timestamp":
		ok = d.setTime(e, v, raw[0], raw)
	case "level":
		ok = ok && (text == "" || setLevel(e, text))
	case "environment":
		e.Env = text
	case "release":
		e.Release = text
	case "server_name":
		e.Host = text
	}
	if !ok {
		e.Extend().Set(d.sentryName(key), v)
	}
	return end
}

// sentryKeep files a value that was read already: b[at:end].
func (d *Decoder) sentryKeep(e *millrace.Event, b []byte, name string, at, end int) int {
	if end < 0 {
		return end
	}
	return d.attrAt(e, name, b, at)
}

// attrAt files the value at b[at:] as an attribute, unless it is null.
func (d *Decoder) attrAt(e *millrace.Event, name string, b []byte, at int) int {
	v, raw, end := d.jsonValue(b, at)
	if end > 0 && raw[0] != 'n' {
		e.Extend().Set(name, v)
	}
	return end
}

// flatten files the members of the object at b[at:] as prefix.key; what is no
// object as prefix.
func (d *Decoder) flatten(e *millrace.Event, prefix string, b []byte, at int) int {
	if at >= len(b) || b[at] != '{' {
		return d.attrAt(e, prefix, b, at)
	}
	return eachMember(b, at, func(key []byte, at int) int {
		return d.attrAt(e, d.joinName(prefix, d.keyText(key)), b, at)
	})
}

func (d *Decoder) joinName(prefix, key string) string {
	return borrow(append(append(append(d.b.Text(len(prefix)+1+len(key)), prefix...), '.'), key...))
}

// sentryContexts files contexts.<name>.<key>.
func (d *Decoder) sentryContexts(e *millrace.Event, s *sentryState, at int) int {
	b := s.b
	if b[at] != '{' {
		return d.attrAt(e, "contexts", b, at)
	}
	return eachMember(b, at, func(name []byte, at int) int {
		prefix := d.joinName("contexts", d.keyText(name))
		if at >= len(b) || b[at] != '{' {
			return d.attrAt(e, prefix, b, at)
		}
		return eachMember(b, at, func(key []byte, at int) int {
			switch {
			case string(name) == "trace" && string(key) == "trace_id":
				if id, end := d.textAt(b, at); id != "" && e.TraceID == "" {
					e.TraceID = id
					return end
				}
			case string(name) == "app" && string(key) == "app_name":
				s.app, _ = d.textAt(b, at)
			}
			return d.attrAt(e, d.joinName(prefix, d.keyText(key)), b, at)
		})
	})
}

// sentryTags files tags.<key>. They are an object, or a list of pairs; a list
// that holds anything else is kept as JSON.
func (d *Decoder) sentryTags(e *millrace.Event, s *sentryState, at int) int {
	b := s.b
	if b[at] == '{' {
		return eachMember(b, at, func(key []byte, at int) int { return d.sentryTag(e, s, d.keyText(key), at) })
	}
	n, pairs := len(e.Attrs), true
	end := eachElement(b, at, func(at int) int {
		key, value, count := 0, 0, 0
		end := eachElement(b, at, func(at int) int {
			count++
			key, value = value, at
			return skipValue(b, at, 1)
		})
		if end > 0 && b[at] != 'n' {
			if pairs = pairs && count == 2 && b[key] == '"'; pairs {
				name, _ := d.textAt(b, key)
				d.sentryTag(e, s, name, value)
			}
		}
		return end
	})
	if b[at] != '[' || !pairs {
		clear(e.Attrs[n:])
		e.Attrs = e.Attrs[:n]
		return d.attrAt(e, "tags", b, at)
	}
	return end
}

func (d *Decoder) sentryTag(e *millrace.Event, s *sentryState, key string, at int) int {
	rank := uint8(0)
	switch key {
	case "service":
		rank = 3
	case "service.name":
		rank = 2
	case "service_name":
		rank = 1
	}
	if rank > s.serviceRank {
		if name, _ := d.textAt(s.b, at); name != "" {
			s.service, s.serviceRank = name, rank
		}
	}
	return d.attrAt(e, d.joinName("tags", key), s.b, at)
}

// sentryEnvelope files the headers of the envelope. Its event_id is not that of
// an entry of a log.
func (d *Decoder) sentryEnvelope(e *millrace.Event, s *sentryState, head []byte, entry bool) {
	eachMember(head, skipSpace(head, 0), func(key []byte, at int) int {
		switch string(key) {
		case "event_id":
			id, end := plainText(head, at)
			if _, has := e.Attr("event_id"); !has && id != "" && !entry {
				e.Extend().SetString("event_id", id)
			}
			return end
		case "sdk":
			if end := skipValue(head, at, 1); end > 0 && string(head[at:end]) == s.sdk {
				return end
			}
		case "trace":
			if e.TraceID == "" {
				eachMember(head, at, func(key []byte, at int) (end int) {
					if string(key) == "trace_id" {
						e.TraceID, end = d.textAt(head, at)
						return end
					}
					return skipValue(head, at, 1)
				})
			}
		}
		return d.attrAt(e, d.joinName("envelope", d.keyText(key)), head, at)
	})
}

// sentryText sets the message, and files what logentry and message hold besides.
func (d *Decoder) sentryText(e *millrace.Event, s *sentryState) {
	if e.Report != nil {
		e.Message = d.sentryTitle(e.Report.Exception)
	}
	for _, m := range [...]struct {
		at   int
		name string
	}{{s.logentry, "logentry"}, {s.message, "sentry.message"}} {
		if m.at == 0 || s.b[m.at] == 'n' {
			continue
		}
		used := false
		if e.Message == "" {
			if e.Message = d.sentryMessage(s.b, m.at); e.Message != "" {
				used = s.b[m.at] == '"' // then all of it is the message
			}
		}
		if !used {
			d.attrAt(e, m.name, s.b, m.at)
		}
	}
	if e.Message == "" {
		e.Message = "<unlabeled event>" // as Sentry shows it
	}
	if e.Kind == millrace.KindLog {
		e.MultiLine = strings.IndexByte(e.Message, '\n') >= 0
	}
}

func (d *Decoder) sentryTitle(x *millrace.Exception) string {
	switch {
	case x.Type == "":
		return x.Message
	case x.Message == "":
		return x.Type
	}
	t := append(append(d.b.Text(len(x.Type)+2+len(x.Message)), x.Type...), ": "...)
	return borrow(append(t, x.Message...))
}

// sentryMessage returns the text of a logentry or message: a string, or an object
// with formatted, or message and params.
func (d *Decoder) sentryMessage(b []byte, at int) string {
	if b[at] != '{' {
		text, _ := d.textAt(b, at)
		return text
	}
	var formatted, message string
	params := 0
	eachMember(b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "formatted":
			formatted, end = d.textAt(b, at)
		case "message":
			message, end = d.textAt(b, at)
		case "params":
			params = at
			end = skipValue(b, at, 1)
		default:
			end = skipValue(b, at, 1)
		}
		return end
	})
	if formatted != "" || params == 0 {
		if formatted == "" {
			formatted = message
		}
		return formatted
	}
	return d.sentryFormat(message, b, params)
}
