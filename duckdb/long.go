package duckdb

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
)

// DuckDB reads 2,048 rows at once, whichever of them are wanted: 100 MB of exceptions
// of 50 KB, for one of them, and more than a small store has. So a message or the
// attributes of longText bytes or more are packed before DuckDB sees them, which makes
// them a fifth to a tenth as long: what is stored is a mark and the base64 (RFC 4648,
// without padding) of the text's zstd frame (RFC 8878). Whoever reads these columns of
// a day table unpacks them, in SQL by longMessage.sql and longAttrs.sql.
//
// Shorter texts are left to DuckDB, which packs those of many rows together.
const (
	longText = 8 << 10
	// longLimit bounds what a packed text may become, against a damaged file: a record
	// of the queue has 1 MiB.
	longLimit = 64 << 20
)

// longColumn is a column with packed texts.
type longColumn struct {
	before, after string // what a packed text is between; no other text begins so
	raw           string // the column as text, in SQL
	sql           string // its value unpacked, in SQL
}

// A packed message begins with a noncharacter, which Unicode sets apart for use inside
// of programs; a message that begins so itself is packed however short it is. Packed
// attributes are a string in JSON, and others an object.
var (
	longMessage = longColumn{
		"\uFDD1z", "", "message",
		"(CASE WHEN starts_with(message, '\uFDD1z') THEN millrace_message(message) ELSE message END)",
	}
	longAttrs = longColumn{
		`"z`, `"`, "attrs::VARCHAR",
		`(CASE WHEN starts_with(attrs::VARCHAR, '"z') THEN millrace_attrs(attrs::VARCHAR) ELSE attrs::VARCHAR END)`,
	}
)

var (
	longEncoder = sync.OnceValue(func() *zstd.Encoder {
		// Errors are of options, which are right.
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		return e
	})
	longDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, _ := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(longLimit), zstd.WithDecoderConcurrency(0))
		return d
	})
)

// pack returns s, or a copy with long texts packed.
func (l *longColumn) pack(s *millrace.Strings) *millrace.Strings {
	if !l.needed(s) {
		return s
	}
	out := &millrace.Strings{Data: make([]byte, 0, len(s.Data)), End: make([]uint32, 0, s.Len())}
	var frame []byte
	for i := range s.Len() {
		text := s.At(i)
		switch marked := bytes.HasPrefix(text, []byte(l.before)); {
		case len(text) < longText && !marked:
			out.Data = append(out.Data, text...)
		default:
			frame = longEncoder().EncodeAll(text, frame[:0])
			if !marked && base64.RawStdEncoding.EncodedLen(len(frame)) > len(text) {
				out.Data = append(out.Data, text...)
				break
			}
			out.Data = append(out.Data, l.before...)
			out.Data = base64.RawStdEncoding.AppendEncode(out.Data, frame)
			out.Data = append(out.Data, l.after...)
		}
		out.End = append(out.End, uint32(len(out.Data)))
	}
	return out
}

// needed reports whether a text is to be packed. It runs for every row stored.
func (l *longColumn) needed(s *millrace.Strings) bool {
	start := uint32(0)
	for _, end := range s.End {
		if end-start >= longText {
			return true
		}
		// Nothing else is looked at of most texts.
		if end > start && s.Data[start] == l.before[0] && bytes.HasPrefix(s.Data[start:end], []byte(l.before)) {
			return true
		}
		start = end
	}
	return false
}

// unpack returns the text of which the column has stored: stored itself, or new
// memory.
func (l *longColumn) unpack(stored []byte) ([]byte, error) {
	text, packed := bytes.CutPrefix(stored, []byte(l.before))
	if !packed {
		return stored, nil
	}
	text, _ = bytes.CutSuffix(text, []byte(l.after))
	frame, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err == nil {
		text, err = longDecoder().DecodeAll(frame, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("a packed text is damaged: %w", err)
	}
	return text, nil
}
