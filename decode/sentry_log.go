package decode

import (
	"github.com/millrace/millrace"
)

// A log entry of Sentry's protocol becomes an event of kind log: timestamp, level,
// trace_id and body (the message) as columns, and each of attributes as an
// attribute of its name with its value; the value's type is known from it, so
// type is dropped, unit is kept as name.unit. sentry.environment is env,
// sentry.release release, server.address host, service.name service. Other
// members are attributes. Without a body the message is the whole entry.

func (d *Decoder) sentryLog(e *millrace.Event, s *sentryState) bool {
	b := s.b
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	i = eachMember(b, i, func(key []byte, at int) (end int) {
		switch string(key) {
		case "timestamp", "level":
			return d.sentryColumn(e, b, borrow(key), at)
		case "trace_id":
			if e.TraceID, end = d.textAt(b, at); e.TraceID != "" {
				return end
			}
		case "body":
			if b[at] == '"' {
				e.Message, end = d.textAt(b, at)
				return end
			}
		case "attributes":
			return d.sentryAttributes(e, b, at)
		}
		return d.attrAt(e, d.sentryName(d.keyText(key)), b, at)
	})
	if e.Message == "" {
		e.Message = borrow(b) // as for JSON lines
	}
	return i > 0 && skipSpace(b, i) == len(b)
}

func (d *Decoder) sentryAttributes(e *millrace.Event, b []byte, at int) int {
	if b[at] != '{' {
		return d.attrAt(e, "attributes", b, at)
	}
	return eachMember(b, at, func(key []byte, at int) int {
		name := d.keyText(key)
		if at >= len(b) || b[at] != '{' {
			return d.attrAt(e, d.sentryName(name), b, at)
		}
		return eachMember(b, at, func(key []byte, at int) int {
			switch string(key) {
			case "value":
				return d.sentryLogValue(e, name, b, at)
			case "type":
				return skipValue(b, at, 1)
			}
			return d.attrAt(e, d.joinName(name, d.keyText(key)), b, at)
		})
	})
}

func (d *Decoder) sentryLogValue(e *millrace.Event, name string, b []byte, at int) int {
	var column *string
	switch name {
	case "sentry.environment":
		column = &e.Env
	case "sentry.release":
		column = &e.Release
	case "server.address":
		column = &e.Host
	case "service.name":
		column = &e.Service
	}
	if column != nil {
		if text, end := d.textAt(b, at); text != "" {
			*column = text
			return end
		}
	}
	return d.attrAt(e, d.sentryName(name), b, at)
}
