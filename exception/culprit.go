package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// Culprit names where e happened: the innermost function of the application, of e or
// else of what caused it; if there is none, the innermost function of all. It is empty
// without frames.
func Culprit(e *millrace.Exception) string {
	for at := e; at != nil; at = at.Cause {
		for i := range at.Frames {
			if at.Frames[i].InApp {
				return functionName(&at.Frames[i])
			}
		}
	}
	for at := e; at != nil; at = at.Cause {
		if len(at.Frames) > 0 {
			return functionName(&at.Frames[0])
		}
	}
	return ""
}

// functionName is a frame's function with its module, or with its file if it has no
// module.
func functionName(f *millrace.Frame) string {
	name := f.Function
	switch {
	case f.Module != "" && name == "":
		name = f.Module
	case f.Module != "" && !strings.HasPrefix(name, f.Module):
		name = f.Module + "." + name
	case f.Module == "" && f.File != "" && name == "":
		name = f.File
	case f.Module == "" && f.File != "":
		name += " (" + f.File + ")"
	}
	return cutString(strings.ReplaceAll(name, "\x00", ""), maxFrameString)
}
