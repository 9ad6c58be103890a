package pipeline

import (
	"encoding/json"
	"strings"

	"github.com/millrace/millrace"
)

// stackText returns the stack trace in an attribute: the text itself, the
// "stack" or "stack_trace" of a nested error object as pino and ECS write it, or
// a list of lines as Elasticsearch does.
func stackText(v millrace.Value) string {
	if v.Kind() != millrace.ValueJSON {
		return v.String()
	}
	text := v.String()
	if strings.HasPrefix(text, "[") {
		var lines []string
		if json.Unmarshal([]byte(text), &lines) != nil {
			return ""
		}
		return joinTrace(lines)
	}
	var nested struct {
		Stack      string `json:"stack"`
		StackTrace string `json:"stack_trace"`
	}
	if json.Unmarshal([]byte(text), &nested) != nil {
		return ""
	}
	if nested.Stack != "" {
		return nested.Stack
	}
	return nested.StackTrace
}

// joinTrace puts a list of lines together. Their indentation, which a list has
// no need of, is given back to frames.
func joinTrace(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		if strings.HasPrefix(line, "at ") || strings.HasPrefix(line, "... ") {
			b.WriteByte('\t')
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}
