package decode

import (
	"strings"

	"github.com/millrace/millrace"
)

// format is what Frame and Decoder know of a format.
type format struct {
	name string
	// join tells that lines may continue the event before them.
	join bool
	// json tells which lines must be well-formed JSON objects.
	json jsonRule
	// frame decodes one frame without its line end; nil detects the format.
	frame func(d *Decoder, ordinal int32, frame []byte)

	// Of structured formats, whose bodies are no lines (pieces.go). split is for
	// Split, piece decodes one event, id is the ID that Split gives it or nil.
	split func(res *Pieces, extra, body []byte, lim Limits) error
	piece func(d *Decoder, ordinal int32, context, item []byte)
	id    func(context, item []byte) [16]byte
}

type jsonRule uint8

const (
	jsonNever  jsonRule = iota
	jsonLikely          // lines that plainly are meant as an object
	jsonAlways
)

// formats is filled by init because the decoders refer back to it.
var formats []format

func init() {
	formats = []format{
		{name: "auto", join: true, json: jsonLikely, frame: (*Decoder).auto},
		{name: "nginx", frame: (*Decoder).nginx},
		{name: "apache", frame: (*Decoder).apache},
		{name: "json", json: jsonAlways, frame: (*Decoder).json},
		{name: "logfmt", frame: (*Decoder).logfmt},
		{name: "syslog", frame: (*Decoder).syslog},
		{name: "text", join: true, frame: (*Decoder).text},
		{name: "line", frame: (*Decoder).line},
		{name: "sentry", split: splitSentry, piece: (*Decoder).sentry, id: sentryPieceID},
		{name: "sentry-event", split: splitSentryEvent, piece: (*Decoder).sentry, id: sentryPieceID},
		{name: "loki", split: splitLoki, piece: (*Decoder).lokiPiece},
		{name: "logplex", split: splitLogplex, piece: (*Decoder).logplex, id: logplexPieceID},
		{name: "loki-json", split: splitLokiJSON, piece: (*Decoder).lokiJSONPiece},
		{name: "crash", split: splitCrash, piece: (*Decoder).crash},
		{name: "exceptions", split: splitExceptions, piece: (*Decoder).preaggregated},
		{name: "otlp", split: splitOTLP, piece: (*Decoder).otlpPiece},
		{name: "otlp-json", split: splitOTLPJSON, piece: (*Decoder).otlpJSONPiece},
		{name: "bulk", split: splitBulk, piece: (*Decoder).bulk, id: bulkID},
	}
}

// Formats returns the names of the known formats of lines, the default first.
func Formats() []string { return namesOf(false) }

// StructuredFormats returns the names of the formats for Split.
func StructuredFormats() []string { return namesOf(true) }

func namesOf(structured bool) []string {
	var names []string
	for i := range formats {
		if (formats[i].split != nil) == structured {
			names = append(names, formats[i].name)
		}
	}
	return names
}

// lookupFormat returns the format of that name, "" being auto, or an
// ErrInvalid error that names the known ones.
func lookupFormat(name string) (*format, error) {
	if name == "" {
		return &formats[0], nil
	}
	for i := range formats {
		if formats[i].name == name {
			return &formats[i], nil
		}
	}
	return nil, millrace.Errorf(millrace.ErrInvalid, "format %q is unknown; known are %s",
		millrace.Example([]byte(name)), strings.Join(append(Formats(), StructuredFormats()...), ", "))
}
