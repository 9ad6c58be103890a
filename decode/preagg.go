package decode

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Exceptions that an agent counted before it sent them, with a few samples of
// each (POST /api/v1/exceptions):
//
//	{"ip","sendTime","host","appCode","envName","exType","count",
//	 "details":[{"level","fileName","content","timestamp","traceId","stackTrace"}]}
//
// A body is one such object, an array of them, or several one after the other.
// Each sample becomes an event of weight 1, so that it is found by its trace id
// as any other exception; one more event stands for the count - len(details)
// occurrences that nobody kept. Their weights add up to count exactly. The
// latter event has the message and the stack of the first sample, so that it is
// of the same issue, but neither its trace id nor its time.
//
//	appCode  service        ip       attribute ip, and host if there is none
//	envName  env            exType   attribute type
//	host     host           count    attribute count
//	sendTime time, and the attribute sendTime of samples with a time of their own
//
//	level    level, error if there is none     content     message
//	fileName attribute fileName                timestamp   time
//	traceId  trace_id                          stackTrace  attribute stackTrace
//
// Other fields are attributes under their own names, those of a sample that
// the object has, too, under details.NAME. Times are RFC 3339 or any of time.go,
// seconds or milliseconds; one that cannot be read stays an attribute.
//
// Limits: count from 1 to maxCount; absent, it is the number of samples, at least
// 1. Of more samples than count the last event has the surplus as attribute
// details. A sample that is refused leaves the count as it is.

const (
	// maxCount keeps sums of weights far below 2^63.
	maxCount = 1_000_000_000
	// ReasonBadCount is the reason of objects whose count is not between 1 and maxCount.
	ReasonBadCount = "bad_count"
	// ReasonBadDetail is the reason of samples that are no objects.
	ReasonBadDetail = "bad_detail"
)

const (
	attrIP         = "ip"
	attrCount      = "count"
	attrDetails    = "details"
	attrStackTrace = "stackTrace"
	attrSendTime   = "sendTime"
)

// splitExceptions is Split of "exceptions". A context is an object whose array of
// details is empty; an item is a sample as sent, perhaps with the surplus behind
// it, or the weight of the other occurrences in decimal and the first sample.
func splitExceptions(res *Pieces, _, body []byte, lim Limits) error {
	s := exceptionSplitter{res: res, lim: lim, b: body, check: !utf8.Valid(body)}
	i := skipSpace(body, 0)
	if i < len(body) && body[i] != '{' && body[i] != '[' {
		return millrace.Errorf(millrace.ErrInvalid, "body: %s; expected an object or an array of objects", describeJSON(body, i))
	}
	for ; i < len(body); i = skipSpace(body, i) {
		var end int
		if body[i] == '[' {
			end = s.array(i)
		} else {
			end = s.object(i)
		}
		if s.full {
			return tooManyEvents(lim.MaxEvents)
		}
		if end < 0 {
			break
		}
		i = end
	}
	return nil
}

type exceptionSplitter struct {
	res     *Pieces
	lim     Limits
	b       []byte
	check   bool // the body is not all UTF-8
	full    bool // there are more events than a body may have
	index   int  // of the object before
	samples [][2]int
}

// array splits the objects of the array at i and returns its end, negative if
// the rest of the body cannot be read.
func (s *exceptionSplitter) array(i int) int {
	b := s.b
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = s.object(i); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1
		default:
			s.index++
			s.broken(min(i, len(b)-1), i)
			return -1
		}
	}
}

// broken refuses the rest of the body from i on; pos is where it goes wrong.
func (s *exceptionSplitter) broken(i, pos int) {
	s.res.refuse(s.index, ReasonBadJSON, fmt.Sprintf("byte %d of %d: the body breaks off or is no JSON there; what follows is refused as one",
		pos+1, len(s.b)), s.b[i:])
}

// parts are where an object has what Split looks at; zero is absent.
type exceptionParts struct {
	count, details, detailsEnd int
}

// object splits the object at i and returns its end, negative if it cannot be
// read.
func (s *exceptionSplitter) object(i int) int {
	b := s.b
	s.index++
	if i >= len(b) {
		s.broken(len(b)-1, len(b))
		return -1
	}
	var p exceptionParts
	end := eachMember(b, i, func(key []byte, at int) int {
		end := skipValue(b, at, 2)
		switch string(key) {
		case "count":
			p.count = at
		case "details":
			p.details, p.detailsEnd = at, end
		}
		return end
	})
	if end < 0 {
		s.broken(i, ^end)
		return -1
	}
	if b[i] != '{' {
		s.res.refuse(s.index, ReasonBadJSON, "expected an object", b[i:end])
		return end
	}
	s.findSamples(&p)
	count, ok := s.countOf(&p)
	switch {
	case !ok:
		s.res.refuse(s.index, ReasonBadCount, fmt.Sprintf("count %s: must be an integer from 1 to %d",
			millrace.Example(b[p.count:skipValue(b, p.count, 1)]), maxCount), b[i:end])
		return end
	case s.check && !s.textual(&p, i, end):
		s.res.refuse(s.index, ReasonBadUTF8, fmt.Sprintf("byte %d of the object: invalid UTF-8", 1+invalidUTF8(b[i:end])), b[i:end])
		return end
	}
	context := s.context(&p, i, end)
	if len(context) > int(s.lim.MaxEvent) {
		s.res.refuse(s.index, ReasonTooLarge, "without details "+tooLargeDetail(len(context), s.lim), context)
		return end
	}
	s.emit(context, count)
	return end
}

// textual reports whether the object from i to end is UTF-8 but for its samples,
// which were checked one by one.
func (s *exceptionSplitter) textual(p *exceptionParts, i, end int) bool {
	if p.details == 0 {
		return utf8.Valid(s.b[i:end])
	}
	return utf8.Valid(s.b[i:p.details]) && utf8.Valid(s.b[p.detailsEnd:end])
}

// findSamples finds the samples that are good and refuses the others.
func (s *exceptionSplitter) findSamples(p *exceptionParts) {
	s.samples = s.samples[:0]
	if p.details == 0 || string(s.b[p.details:p.detailsEnd]) == "null" {
		return
	}
	take := func(at int) int {
		end := skipValue(s.b, at, 3)
		part := s.b[at:max(at, end)]
		switch {
		case end < 0: // the object was checked
		case part[0] != '{':
			s.res.refuse(s.index, ReasonBadDetail, "a sample in details is no object", part)
		case len(part) > int(s.lim.MaxEvent):
			s.res.refuse(s.index, ReasonTooLarge, "a sample in details: "+tooLargeDetail(len(part), s.lim), part)
		case s.check && !utf8.Valid(part):
			s.res.refuse(s.index, ReasonBadUTF8, "a sample in details is no UTF-8", part)
		default:
			s.samples = append(s.samples, [2]int{at, end})
		}
		return end
	}
	if s.b[p.details] == '[' {
		eachElement(s.b, p.details, take)
	} else {
		take(p.details)
	}
}

// countOf returns how many occurrences an object stands for.
func (s *exceptionSplitter) countOf(p *exceptionParts) (int64, bool) {
	if p.count == 0 {
		return int64(max(1, len(s.samples))), true
	}
	text := s.b[p.count:skipValue(s.b, p.count, 1)]
	if string(text) == "null" {
		return int64(max(1, len(s.samples))), true
	}
	if text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	n, err := strconv.ParseInt(borrow(text), 10, 64)
	return n, err == nil && n >= 1 && n <= maxCount && isDigit(text[0])
}

// context returns the object without its samples.
func (s *exceptionSplitter) context(p *exceptionParts, i, end int) []byte {
	if p.details == 0 {
		return s.b[i:end:end]
	}
	out := append(s.res.Text(end-i-(p.detailsEnd-p.details)+2), s.b[i:p.details]...)
	return append(append(out, "[]"...), s.b[p.detailsEnd:end]...)
}

// emit makes the pieces of an object.
func (s *exceptionSplitter) emit(context []byte, count int64) {
	k := len(s.samples)
	if int64(k) > count {
		k = int(count)
	}
	if rest := count - int64(k); rest > 0 {
		sample := []byte(nil)
		if len(s.samples) > 0 {
			sample = s.b[s.samples[0][0]:s.samples[0][1]]
		}
		item := strconv.AppendInt(s.res.Text(20+len(sample)), rest, 10)
		s.add(context, append(item, sample...))
	}
	for n, at := range s.samples[:k] {
		end := at[1]
		if n == k-1 {
			end = s.samples[len(s.samples)-1][1]
		}
		if end-at[0] > int(s.lim.MaxEvent) || s.check && !utf8.Valid(s.b[at[0]:end]) { // with the surplus
			s.res.skip(ReasonTooLarge, int64(len(s.samples)-k), s.b[at[1]:end])
			end = at[1]
		}
		s.add(context, s.b[at[0]:end:end])
	}
}

func (s *exceptionSplitter) add(context, item []byte) {
	if n := s.lim.MaxEvents; n > 0 && len(s.res.Events) >= n {
		s.full = true
		return
	}
	s.res.Events = append(s.res.Events, Piece{Context: context, Item: item, Index: s.index})
}

// preaggregated decodes one piece.
func (d *Decoder) preaggregated(ordinal int32, context, item []byte) {
	digits := skipDigits(item, 0)
	weight := int64(1)
	if digits > 0 {
		n, err := strconv.ParseInt(borrow(item[:digits]), 10, 64)
		if err != nil || n < 1 || n > maxCount {
			d.b.Reject(ordinal, ReasonBadCount, "the weight is damaged", item)
			return
		}
		weight = n
	}
	sample, surplus := item[digits:], []byte(nil)
	if digits == 0 {
		end := skipValue(sample, 0, 1)
		if end < 0 {
			d.b.Reject(ordinal, ReasonBadJSON, describeJSON(sample, ^end), item)
			return
		}
		sample, surplus = sample[:end], sample[end:]
	}
	e := d.b.Add(ordinal)
	e.Weight, e.Kind = weight, millrace.KindException
	x := exceptionEvent{d: d, e: e, rest: digits > 0}
	if !x.object(context) || len(sample) > 0 && !x.sample(sample) || !x.surplus(surplus) {
		d.b.Drop()
		d.b.Reject(ordinal, ReasonBadJSON, "the exception is damaged", item)
		return
	}
	x.finish()
}

// exceptionEvent fills one event.
type exceptionEvent struct {
	d        *Decoder
	e        *millrace.Event
	rest     bool // it stands for occurrences without a sample
	ip, kind string
	sent     millrace.Attr // sendTime, if it is a time
	own      int           // how many attributes are the object's
	ns       int64
	timed    bool
	stack    string
}

// object reads the fields that all events of an object have.
func (x *exceptionEvent) object(b []byte) bool {
	d, e := x.d, x.e
	end := d.fields(b, func(key string, v millrace.Value, tag byte, raw []byte) {
		text := scalar(v, tag, raw)
		switch key {
		case "appCode":
			if text != "" {
				e.Service = text
				return
			}
		case "envName":
			if text != "" {
				e.Env = text
				return
			}
		case "host":
			if text != "" {
				e.Host = text
				return
			}
		case "ip":
			x.ip = text
			key = attrIP
		case "exType":
			if tag == '"' {
				x.kind = text
				return
			}
		case "sendTime":
			if x.time(v, tag, raw) {
				x.sent = millrace.Attr{Key: attrSendTime, Value: v}
				return
			}
		case "details":
			return
		}
		if tag != 'n' {
			e.Extend().Set(key, v)
		}
	})
	if x.kind != "" {
		e.Extend().SetString(millrace.AttrType, x.kind)
	}
	x.own = len(e.Attrs)
	return end == len(b)
}

// sample reads a sample.
func (x *exceptionEvent) sample(b []byte) bool {
	d, e := x.d, x.e
	return d.fields(b, func(key string, v millrace.Value, tag byte, raw []byte) {
		text := scalar(v, tag, raw)
		switch key {
		case "level":
			if setLevel(e, text) {
				return
			}
		case "content":
			if tag == '"' && text != "" {
				e.Message = text
				return
			}
		case "stackTrace":
			if stackLike(v, tag) {
				e.MultiLine = true
				if tag == '"' {
					x.stack = text
				}
			}
		case "traceId":
			if x.rest {
				return
			}
			if text != "" {
				e.TraceID = text
				return
			}
		case "timestamp":
			if x.rest {
				return
			}
			if sent := x.sent; x.time(v, tag, raw) {
				if sent.Key != "" {
					e.Extend().Set(sent.Key, sent.Value)
					x.sent = millrace.Attr{}
				}
				return
			}
		}
		if tag != 'n' {
			e.Extend().Set(x.name(key), v)
		}
	}) == len(b)
}

// name returns the name of a sample's attribute: that of the object has the name
// itself.
func (x *exceptionEvent) name(key string) string {
	own := x.e.Attrs[:x.own]
	for i := range own {
		if own[i].Key == key {
			return x.d.joined(attrDetails+".", key)
		}
		if i > manyAttrs { // rather a long name than a long search
			return x.d.joined(attrDetails+".", key)
		}
	}
	return key
}

// time takes a value as the event's time and reports whether it is one.
func (x *exceptionEvent) time(v millrace.Value, tag byte, raw []byte) bool {
	var at millrace.Event
	if tag != '"' && tag != '-' && !isDigit(tag) || !x.d.setTime(&at, v, tag, raw) || !at.HasTime {
		return false
	}
	x.ns, x.timed = at.Time, true
	return true
}

// surplus keeps the samples beyond count.
func (x *exceptionEvent) surplus(b []byte) bool {
	if b = bytes.TrimLeft(b, " \t\r\n"); len(b) == 0 {
		return true
	}
	if b[0] != ',' {
		return false
	}
	list := append(append(x.d.b.Text(len(b)+1), '['), b[1:]...)
	list = append(list, ']')
	if skipValue(list, 0, 1) != len(list) {
		return false
	}
	x.e.Extend().Set(attrDetails, millrace.JSONValue(borrow(list)))
	return true
}

// finish fills in what is missing.
func (x *exceptionEvent) finish() {
	e := x.e
	if x.timed {
		e.Time, e.HasTime = x.ns, true
	}
	if e.Host == "" {
		e.Host = x.ip
	}
	if e.Level == "" {
		e.Level = levelError
	}
	if e.Message == "" {
		line, _, _ := bytes.Cut(unborrow(x.stack), []byte{'\n'})
		e.Message = borrow(trimCR(line))
	}
	if e.Message == "" {
		e.Message = x.kind
	}
	if e.Message == "" {
		e.Message = "exception"
	}
	e.MultiLine = e.MultiLine || bytes.IndexByte(unborrow(e.Message), '\n') >= 0
}

// fields calls f for every member of the object b and returns its end, negative
// if it is none.
func (d *Decoder) fields(b []byte, f func(key string, v millrace.Value, tag byte, raw []byte)) int {
	if len(b) == 0 || b[0] != '{' {
		return -1
	}
	return eachMember(b, 0, func(key []byte, at int) int {
		v, raw, end := d.jsonValue(b, at)
		if end > 0 {
			f(d.jsonString(key, bytes.IndexByte(key, '\\') >= 0), v, raw[0], raw)
		}
		return end
	})
}
