package transform

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace"
)

// Violation is one thing that is wrong with a rule set.
type Violation struct {
	Path    string `json:"path"`   // such as steps[2].extract.grok
	Line    int    `json:"line"`   // from 1; 0 if the rules were not parsed from text
	Column  int    `json:"column"` // from 1, in characters
	Message string `json:"message"`
}

// String returns the violation as "line 3, column 5: steps[0].drop: …".
func (v Violation) String() string {
	s := v.Message
	if v.Path != "" {
		s = v.Path + ": " + s
	}
	if v.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", v.Line, v.Column, s)
	}
	return s
}

// Error lists every violation of a rule set, in the order of the text. Its code
// is millrace.ErrInvalid.
type Error struct {
	Violations []Violation
}

// Error returns the violations, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		lines[i] = v.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes millrace.ErrorCode and millrace.ErrorMessage know the error.
func (e *Error) Unwrap() error {
	return &millrace.Error{Code: millrace.ErrInvalid, Message: e.Error()}
}
