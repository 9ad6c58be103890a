package decode

import "unicode/utf8"

// Nearly all records are of one shape: short texts and small numbers, in messages
// whose lengths take one byte. What is here reads that shape, several fields by a
// few comparisons, and leaves all others to the code that reads field by field.

// quickPair takes apart a message that is two short length-delimited fields,
// numbers 1 and 2, as nearly all attributes are.
func quickPair(b []byte) (first, second []byte, ok bool) {
	if len(b) < 4 || b[0] != 1<<3|wireBytes || b[1] >= 0x80 {
		return nil, nil, false
	}
	at := 2 + int(b[1])
	if at+2 > len(b) || b[at] != 2<<3|wireBytes || b[at+1] >= 0x80 || at+2+int(b[at+1]) != len(b) {
		return nil, nil, false
	}
	return b[2:at:at], b[at+2:], true
}

// quickText takes apart a message that is a short length-delimited field 1, as
// the values of most attributes are.
func quickText(b []byte) (text []byte, ok bool) {
	if len(b) < 2 || b[0] != 1<<3|wireBytes || b[1] >= 0x80 || 2+int(b[1]) != len(b) {
		return nil, false
	}
	return b[2:], true
}

// quickSkip returns where the field behind the one at i begins, if that is an
// attribute of less than 128 bytes; else it is negative.
func quickSkip(b []byte, i int) (next int) {
	if i+1 < len(b) && b[i] == otlpAttributes && b[i+1] < 0x80 {
		if next = i + 2 + int(b[i+1]); next <= len(b) {
			return next
		}
	}
	return -1
}

// quickRecord reports whether a LogRecord is certainly one that otlpCheck takes.
// Between texts are tags and lengths, which are ASCII here: a run of them is UTF-8
// if the texts are, so it is looked at once. from is where it begins.
func quickRecord(b []byte) bool {
	from := 0
	for i := 0; i < len(b); {
		if next := quickSkip(b, i); next > 0 {
			_, value, ok := quickPair(b[i+2 : next])
			if !ok {
				return false
			}
			if _, text := quickText(value); !text {
				if !quickNumber(value) || !utf8.Valid(b[from:next-len(value)]) {
					return false
				}
				from = next
			}
			i = next
			continue
		}
		tag, _, data, next := nextField(b, i)
		if next < 0 || tag >= 0x80 {
			return false
		}
		text := data
		switch tag {
		case otlpTime, otlpSeverity, otlpFlags, otlpTraceID, otlpSpanID, otlpObserved:
			text = nil
		case otlpSeverityText:
		case otlpBody:
			field, _, body, end := nextField(data, 0)
			if field != otlpString || end != len(data) {
				return false
			}
			text = body
		default:
			return false
		}
		if next-i-len(text) > 4 || text == nil { // what is before it need not be ASCII
			if from < i && !utf8.Valid(b[from:i]) {
				return false
			}
			from = next - len(text)
		}
		i = next
	}
	return utf8.Valid(b[from:])
}

// quickNumber reports whether an AnyValue is a single number or a bool.
func quickNumber(b []byte) bool {
	if len(b) < 2 || b[0] == otlpDouble {
		return len(b) == 9
	}
	_, next := wireVarint(b, 1)
	return next == len(b) && (b[0] == otlpInt || b[0] == otlpBool)
}
