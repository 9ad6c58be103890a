package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// readTombstone reads the text of an Android tombstone (system/core/debuggerd),
// as a file or in the log: the signal, the crashed thread's backtrace, then the
// other threads.
func readTombstone(r *millrace.Report, text string) {
	e := &millrace.Exception{}
	var cur *millrace.Thread
	s := lines{text: text}
	crashed := false
	for s.next() {
		line := s.line
		switch {
		case strings.HasPrefix(line, "pid: ") && strings.Contains(line, ", tid: "):
			cur = tombstoneThread(r, line)
			if len(r.Threads) == 1 {
				cur.Crashed = true
				e.Thread = cur.Name
			}
		case strings.HasPrefix(line, "signal ") && !crashed:
			crashed = true
			tombstoneSignal(e, line)
		case strings.HasPrefix(line, "Abort message: ") && e.Message != "":
			e.Message = strings.Trim(line[len("Abort message: "):], "'\"")
		case strings.HasPrefix(line, "Cause: "):
			e.Message = line[len("Cause: "):]
		case line[:min(1, len(line))] == "#" && cur != nil:
			if f, ok := nativeFrame(line); ok && len(cur.Frames) < maxFrames {
				cur.Frames = append(cur.Frames, f)
			}
		}
	}
	if !crashed || len(r.Threads) == 0 {
		r.Threads = nil
		return
	}
	e.Frames, r.Threads[0].Frames = r.Threads[0].Frames, nil
	r.Exception, r.Language, r.Mechanism = e, langNative, "signal"
}

// tombstoneThread reads "pid: 1, tid: 2, name: Thread-2  >>> com.example <<<".
func tombstoneThread(r *millrace.Report, line string) *millrace.Thread {
	_, rest, _ := strings.Cut(line, "tid: ")
	id, rest, _ := strings.Cut(rest, ",")
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, " name: "), "  >>>")
	if len(r.Threads) < maxThreads {
		r.Threads = append(r.Threads, millrace.Thread{ID: id, Name: strings.TrimSpace(name)})
	}
	return &r.Threads[len(r.Threads)-1]
}

// tombstoneSignal reads "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0".
func tombstoneSignal(e *millrace.Exception, line string) {
	_, rest, _ := strings.Cut(line, "(")
	name, rest, _ := strings.Cut(rest, ")")
	e.Type, e.Message = name, strings.TrimPrefix(rest, ", ")
}

// androidFrame reads "0000000000022988  /system/lib64/libc.so (abort+104)
// (BuildId: 00ff)". The number is relative to the image.
func androidFrame(f *millrace.Frame, s string) bool {
	offset, rest, ok := hexNumber(s)
	if !ok || !strings.HasPrefix(rest, " ") {
		return false
	}
	f.Offset = offset
	rest = strings.TrimLeft(rest, " ")
	if before, build, found := strings.Cut(rest, " (BuildId: "); found {
		f.Build, _, _ = strings.Cut(build, ")")
		rest = before
	}
	if i := strings.Index(rest, " (offset "); i > 0 { // a library inside an APK
		_, after, _ := strings.Cut(rest[i+2:], ")")
		f.Module, rest = rest[:i], after
	} else if i = strings.Index(rest, " ("); i > 0 {
		f.Module, rest = rest[:i], rest[i:]
	} else {
		f.Module, rest = rest, ""
	}
	f.Function = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(rest), "("), ")")
	if plus := strings.LastIndexByte(f.Function, '+'); plus > 0 {
		if n := f.Function[plus+1:]; n != "" && digits(n) == len(n) {
			f.Function = f.Function[:plus]
		}
	}
	return f.Module != ""
}

// readANR reads the traces that Android writes when an app does not respond:
// the threads of a process. The main thread's stack is the exception's.
func readANR(r *millrace.Report, text string) {
	e := &millrace.Exception{Type: "ANR"}
	s := lines{text: text}
	var cur *millrace.Thread
	process := ""
	for s.next() {
		switch {
		case strings.HasPrefix(s.line, "Cmd line: ") && process == "":
			process = s.line[len("Cmd line: "):]
		case strings.HasPrefix(s.line, `"`) && s.indent == 0:
			cur = anrThread(r, s.line)
		case strings.HasPrefix(s.line, "Subject: ") && e.Message == "":
			e.Message = s.line[len("Subject: "):]
		case strings.HasPrefix(s.line, "----- end "):
			cur = nil
		case cur != nil:
			if f, ok := anrFrame(s.line); ok && len(cur.Frames) < maxFrames {
				cur.Frames = append(cur.Frames, f)
			}
		}
	}
	for i := range r.Threads {
		if t := &r.Threads[i]; t.ID == "1" && !strings.HasPrefix(t.State, "(") { // Android names it after the process at times
			e.Frames, t.Frames, t.Crashed, e.Thread = t.Frames, nil, true, t.Name
			break
		}
	}
	if len(e.Frames) == 0 && len(r.Threads) < 2 && e.Message == "" {
		r.Threads = nil
		return
	}
	if e.Message == "" && process != "" {
		e.Message = "process " + process
	}
	r.Exception, r.Language, r.Mechanism = e, langJava, "anr"
}

// anrThread reads `"main" daemon prio=5 tid=1 Blocked`.
func anrThread(r *millrace.Report, line string) *millrace.Thread {
	end := strings.LastIndexByte(line, '"')
	if end < 1 || len(r.Threads) == maxThreads {
		return nil
	}
	t := millrace.Thread{Name: line[1:end]}
	rest := line[end+1:]
	for _, key := range [...]string{" tid=", " sysTid="} {
		if _, after, ok := strings.Cut(rest, key); ok {
			t.ID, t.State, _ = strings.Cut(after, " ")
			break
		}
	}
	if t.ID == "" {
		return nil
	}
	r.Threads = append(r.Threads, t)
	return &r.Threads[len(r.Threads)-1]
}

// anrFrame reads "at a.B.c(B.java:1)" and "native: #00 pc 0004f4c4 /…/libc.so
// (syscall+32)".
func anrFrame(line string) (f millrace.Frame, ok bool) {
	if rest, ok := strings.CutPrefix(line, "at "); ok {
		return javaFrame(rest)
	}
	line = strings.TrimPrefix(line, "native: ")
	if !strings.HasPrefix(line, "#") {
		return f, false
	}
	return nativeFrame(line)
}
