package pipeline

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// stackRank tells how well an attribute of that name is known to hold a stack
// trace; 0 is not at all. The names are those of Logback's and Log4j's JSON
// layouts, ECS, OpenTelemetry, pino, bunyan, winston, zap, python-json-logger,
// structlog, Serilog, NLog, GELF and Google Cloud's error reporting.
func stackRank(key string) uint8 {
	switch key {
	case "stack_trace":
		return 15
	case "stacktrace", "stackTrace", "StackTrace", "_stacktrace":
		return 14
	case "exception.stacktrace":
		return 13
	case "error.stack_trace", "error.stack", "error.stacktrace", "err.stack":
		return 12
	case "thrown", "throwable":
		return 11
	case "exception", "Exception", "@x":
		return 10
	case "exc_info", "exc_text":
		return 9
	case "stack":
		return 8
	case "traceback", "backtrace":
		return 7
	case "error", "err":
		return 6
	case "errorVerbose", "full_message":
		return 5
	}
	return 0
}

// stacks are the attributes of one event that may hold a stack, kept for the
// memory.
type stacks []int

// of returns the indexes of e's attributes that may hold a stack, the best known
// first. They are valid until the next call.
func (s *stacks) of(e *millrace.Event) []int {
	list := (*s)[:0]
	for i := range e.Attrs {
		if k := e.Attrs[i].Value.Kind(); (k == millrace.ValueString || k == millrace.ValueJSON) && stackRank(e.Attrs[i].Key) > 0 {
			list = append(list, i)
		}
	}
	if len(list) > 1 {
		slices.SortStableFunc(list, func(a, b int) int {
			return cmp.Compare(stackRank(e.Attrs[b].Key), stackRank(e.Attrs[a].Key))
		})
	}
	*s = list
	return list
}

// stackText returns the stack trace in an attribute: the text itself, the
// "stack", "stack_trace" or "extendedStackTrace" of a nested error object as pino,
// ECS and Log4j write it, or a list of lines as Elasticsearch does.
func stackText(v millrace.Value) string {
	text := v.String()
	if v.Kind() != millrace.ValueJSON {
		return text
	}
	if strings.HasPrefix(text, "[") {
		var lines []string
		if json.Unmarshal([]byte(text), &lines) != nil {
			return ""
		}
		return joinTrace(lines)
	}
	var nested struct {
		Stack      any `json:"stack"`
		StackTrace any `json:"stack_trace"`
		Stacktrace any `json:"stacktrace"` // its case-insensitive match is stackTrace
		Extended   any `json:"extendedStackTrace"`
	}
	if json.Unmarshal([]byte(text), &nested) != nil {
		return ""
	}
	for _, v := range []any{nested.Stack, nested.StackTrace, nested.Stacktrace, nested.Extended} {
		if s, ok := v.(string); ok && s != "" {
			return s
		}
	}
	return ""
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
