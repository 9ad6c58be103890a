package pipeline

import (
	"encoding/json"

	"github.com/millrace/millrace"
)

// stackText returns the stack trace in an attribute: the text itself, or the
// "stack" or "stack_trace" of a nested error object as pino and ECS write it.
func stackText(v millrace.Value) string {
	if v.Kind() != millrace.ValueJSON {
		return v.String()
	}
	var nested struct {
		Stack      string `json:"stack"`
		StackTrace string `json:"stack_trace"`
	}
	if json.Unmarshal([]byte(v.String()), &nested) != nil {
		return ""
	}
	if nested.Stack != "" {
		return nested.Stack
	}
	return nested.StackTrace
}
