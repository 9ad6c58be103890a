package millrace

// Exception is what an event with a stack trace says, outermost cause first in
// the order the runtime printed it.
type Exception struct {
	Type    string  // for instance java.lang.IllegalStateException
	Message string  // without the type
	Frames  []Frame // innermost call first
	Cause   *Exception
}

// Frame is one call of a stack, as received.
type Frame struct {
	Module   string `json:"module,omitempty"`
	Function string `json:"function,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Address  uint64 `json:"address,omitempty"`
	InApp    bool   `json:"in_app"`
}
