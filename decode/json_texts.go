package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// MemberTexts looks up members of a JSON object (RFC 8259): texts[i] becomes the
// string that the member names[i] is, or the number as it is written; "" if there is
// no such member, or it is anything else. Of members of the same name the last one
// counts, a name may be written with escapes. It reports whether the text is a
// well-formed object that nests at most 127 deep; if not, all texts are "".
//
// names and texts are of the same length. Texts point into object, or where they
// had escapes into the batch's memory: they are valid as long as both. It
// allocates nothing else, so that it can be asked of every event.
func MemberTexts(b *millrace.Batch, object string, names, texts []string) bool {
	clear(texts)
	in := unborrow(object)
	i := skipSpace(in, 0)
	if i == len(in) || in[i] != '{' {
		return false
	}
	var room [64]byte
	end := eachMember(in, i, func(key []byte, at int) int {
		if bytes.IndexByte(key, '\\') >= 0 {
			key = unescape(room[:0], key)
		}
		for n := range names {
			if names[n] == string(key) {
				texts[n], at = textAt(b, in, at)
				return at
			}
		}
		return skipValue(in, at, 1)
	})
	if end < 0 || skipSpace(in, end) != len(in) {
		clear(texts)
		return false
	}
	return true
}
