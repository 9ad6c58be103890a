package exception

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/millrace/millrace"
)

// mxTree is MetricKit's call stack tree.
type mxTree struct {
	PerThread  bool `json:"callStackPerThread"`
	CallStacks []struct {
		Attributed bool      `json:"threadAttributed"`
		Roots      []mxFrame `json:"callStackRootFrames"`
	}
}

type mxFrame struct {
	UUID    string `json:"binaryUUID"`
	Name    string `json:"binaryName"`
	Offset  uint64 `json:"offsetIntoBinaryTextSegment"`
	Address uint64
	Samples int       `json:"sampleCount"`
	Sub     []mxFrame `json:"subFrames"`
}

type mxDiagnostic struct {
	Tree json.RawMessage `json:"callStackTree"`
	Meta struct {
		ExceptionType     int
		Signal            int
		TerminationReason string
		VirtualMemory     string `json:"virtualMemoryRegionInfo"`
		HangDuration      string
		Reason            struct {
			Name    string `json:"exceptionName"`
			Message string `json:"composedMessage"`
		} `json:"objectiveCexceptionReason"`
	} `json:"diagnosticMetaData"`
}

// mxKinds are the lists of a payload, and what their diagnostics are if they do not
// say it themselves.
var mxKinds = []struct{ list, typ string }{
	{"crashDiagnostics", "crash"},
	{"hangDiagnostics", "hang"},
	{"cpuExceptionDiagnostics", "CPU exception"},
	{"diskWriteExceptionDiagnostics", "disk write exception"},
	{"appLaunchDiagnostics", "slow launch"},
}

// isMetricKit reports whether an object is a payload, a diagnostic or a tree.
func isMetricKit(keys map[string]json.RawMessage) bool {
	for _, k := range mxKinds {
		if keys[k.list] != nil {
			return true
		}
	}
	return keys["callStacks"] != nil || keys["callStackTree"] != nil
}

// readMetricKit reads a payload's first diagnostic, crashes before others, or one
// diagnostic, or a call stack tree alone. Payloads of several are split before.
func readMetricKit(r *millrace.Report, keys map[string]json.RawMessage) {
	var d mxDiagnostic
	typ := ""
	for _, k := range mxKinds {
		var list []mxDiagnostic
		if _ = json.Unmarshal(keys[k.list], &list); len(list) > 0 {
			d, typ = list[0], k.typ
			break
		}
	}
	switch {
	case typ != "":
	case keys["callStackTree"] != nil:
		d.Tree = keys["callStackTree"]
		_ = json.Unmarshal(keys["diagnosticMetaData"], &d.Meta)
	}
	var tree mxTree
	if d.Tree != nil {
		_ = json.Unmarshal(d.Tree, &tree)
	} else {
		_ = json.Unmarshal(keys["callStacks"], &tree.CallStacks)
		_ = json.Unmarshal(keys["callStackPerThread"], &tree.PerThread)
	}
	e := &millrace.Exception{Message: cmp.Or(d.Meta.TerminationReason, d.Meta.HangDuration)}
	switch {
	case d.Meta.Reason.Name != "":
		e.Type, e.Message = d.Meta.Reason.Name, d.Meta.Reason.Message
	case machNames[d.Meta.ExceptionType] != "":
		e.Type = machNames[d.Meta.ExceptionType]
	case typ != "":
		e.Type = typ
	case tree.PerThread:
		e.Type = "crash"
	default:
		e.Type = "hang"
	}
	for i, s := range tree.CallStacks[:min(len(tree.CallStacks), maxThreads)] {
		frames := mxPath(s.Roots)
		crashed := s.Attributed || !tree.PerThread && i == 0
		t := millrace.Thread{ID: strconv.Itoa(i), Crashed: crashed, Frames: frames}
		if crashed && e.Frames == nil {
			e.Frames, t.Frames = frames, nil
		}
		r.Threads = append(r.Threads, t)
	}
	if len(r.Threads) == 0 {
		return
	}
	r.Exception, r.Language, r.Mechanism = e, langCocoa, "metrickit"
}

// machNames are Mach's exception types (mach/exception_types.h).
var machNames = map[int]string{
	1: "EXC_BAD_ACCESS", 2: "EXC_BAD_INSTRUCTION", 3: "EXC_ARITHMETIC", 4: "EXC_EMULATION", 5: "EXC_SOFTWARE",
	6: "EXC_BREAKPOINT", 10: "EXC_CRASH", 11: "EXC_RESOURCE", 12: "EXC_GUARD",
}

// mxPath follows the tree where most samples are. Of a crash there is one path,
// from the innermost call outwards.
func mxPath(level []mxFrame) []millrace.Frame {
	var frames []millrace.Frame
	for len(level) > 0 && len(frames) < maxFrames {
		best := 0
		for i := range level {
			if level[i].Samples > level[best].Samples {
				best = i
			}
		}
		m := &level[best]
		frames = append(frames, millrace.Frame{
			Module: m.Name, Build: buildID(m.UUID), Offset: m.Offset, Address: m.Address,
			InApp: m.Name != "" && appleInApp(m.Name, ""),
		})
		level = m.Sub
	}
	return frames
}
