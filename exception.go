package millrace

// Exception is what an event with a stack trace says: an exception, what caused
// it and what went along with it. It is a tree: no exception occurs twice.
//
// Strings point into what was parsed; who keeps an Exception longer than that
// copies it.
type Exception struct {
	Type    string `json:"type,omitempty"`    // for instance java.lang.IllegalStateException
	Message string `json:"message,omitempty"` // without the type
	// Frames are innermost call first. A cause shares its outer frames with the
	// exception around it; runtimes print them once ("... 12 more"), and Common is
	// how many of the enclosing exception's outermost frames are this one's too.
	Frames []Frame `json:"frames,omitempty"`
	Common int     `json:"common,omitempty"`
	Thread string  `json:"thread,omitempty"` // name of the thread, if the report tells

	Cause *Exception `json:"cause,omitempty"`
	// Related went along with this one without being its cause: Java's suppressed
	// exceptions, the further ones of .NET's AggregateException.
	Related []*Exception `json:"related,omitempty"`
	// Members are what a group holds: Python's ExceptionGroup, AggregateError.
	Members []*Exception `json:"members,omitempty"`
}

// Frame is one call of a stack, as received.
type Frame struct {
	Module   string `json:"module,omitempty"` // class, package or binary image
	Function string `json:"function,omitempty"`
	File     string `json:"file,omitempty"`
	// Build names what Offset or the names are to be looked up in: the build id
	// of a binary image, in lower case hexadecimal digits without dashes.
	Build   string `json:"build,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Address uint64 `json:"address,omitempty"` // absolute
	Offset  uint64 `json:"offset,omitempty"`  // Address relative to where the image is loaded
	InApp   bool   `json:"in_app"`
}

// Thread is one thread of a crash report or dump.
type Thread struct {
	ID      string  `json:"id,omitempty"`
	Name    string  `json:"name,omitempty"`
	State   string  `json:"state,omitempty"` // as the runtime says it: "Blocked", "chan receive, 5 minutes"
	Crashed bool    `json:"crashed,omitempty"`
	Frames  []Frame `json:"frames,omitempty"` // innermost call first
}

// Report is all that an event tells about an exception.
type Report struct {
	// Language is one of java, python, go, javascript, dotnet, php, ruby, dart,
	// rust, native (C, C++ and what links like them) and cocoa (Objective-C, Swift).
	Language string `json:"language,omitempty"`
	// Mechanism is how it was caught: "signal", "mach", "anr", "panic", …
	Mechanism string     `json:"mechanism,omitempty"`
	Handled   *bool      `json:"handled,omitempty"` // nil if nobody said
	Exception *Exception `json:"exception,omitempty"`
	Threads   []Thread   `json:"threads,omitempty"`
}
