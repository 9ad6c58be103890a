package exception

import (
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Bounds of stored frames. A row keeps the innermost 150 frames, where an
// exception happened, and the outermost 50, which tell who started it; between
// them lies the middle of a recursion. Longer traces do not say more, but a
// stack overflow of thousands of frames would weigh more than all other columns
// of a row together. No name or path needs more than 1 KiB.
const (
	keepInner      = 150
	keepOuter      = 50
	maxFrameString = 1 << 10
)

// appendFrames appends frames, innermost first, as a JSON array of objects with
// the names of millrace.Frame's json tags, empty ones left out. Of more than
// 200 frames only the innermost 150 and the outermost 50 are written. Longer
// strings are cut to 1 KiB.
func (w *reportWriter) appendFrames(dst []byte, frames []millrace.Frame) []byte {
	dst = append(dst, '[')
	inner, outer := frames, []millrace.Frame(nil)
	if len(frames) > keepInner+keepOuter {
		inner, outer = frames[:keepInner], frames[len(frames)-keepOuter:]
	}
	for i := range inner {
		dst = w.appendFrame(dst, &inner[i], i == 0)
	}
	for i := range outer {
		dst = w.appendFrame(dst, &outer[i], false)
	}
	return append(dst, ']')
}

func (w *reportWriter) appendFrame(dst []byte, f *millrace.Frame, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = append(dst, '{')
	dst = w.appendString(dst, `"module":`, f.Module)
	dst = w.appendString(dst, `"function":`, f.Function)
	dst = w.appendString(dst, `"file":`, f.File)
	dst = w.appendString(dst, `"build":`, f.Build)
	dst = appendInt(dst, `"line":`, uint64(max(f.Line, 0)))
	dst = appendInt(dst, `"column":`, uint64(max(f.Column, 0)))
	dst = appendInt(dst, `"address":`, f.Address)
	dst = appendInt(dst, `"offset":`, f.Offset)
	dst = append(dst, `"in_app":`...)
	dst = strconv.AppendBool(dst, f.InApp)
	return append(dst, '}')
}

func (w *reportWriter) appendString(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	dst = append(dst, key...)
	dst = millrace.AppendJSONString(dst, w.cut(s, maxFrameString))
	return append(dst, ',')
}

func appendInt(dst []byte, key string, n uint64) []byte {
	if n == 0 {
		return dst
	}
	dst = append(dst, key...)
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, ',')
}

// cutString returns at most n bytes of s, not within a rune.
func cutString(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
