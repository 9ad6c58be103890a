package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// image is a binary image of a crash report.
type image struct {
	base, end         uint64
	name, build, path string
}

// readApple reads Apple's crash reports in their text form (.crash, and the text
// body of old .ips), which PLCrashReporter and KSCrash write as well.
func readApple(r *millrace.Report, text string) {
	p := appleParser{r: r, e: &millrace.Exception{}}
	s := lines{text: text}
	for s.next() {
		p.line(&s)
	}
	p.finish()
}

// appleParser is the state of readApple.
type appleParser struct {
	r         *millrace.Report
	e         *millrace.Exception
	cur       *[]millrace.Frame // receives frames
	last      []millrace.Frame  // "Last Exception Backtrace"
	details   string            // subtype, codes: a message if there is no better one
	specific  bool              // within "Application Specific Information"
	imagesNow bool              // within "Binary Images"
	crashedID string
	images    []image
	names     map[string]string // thread names that stand on lines of their own
}

func (p *appleParser) line(s *lines) {
	line := s.line
	if p.imagesNow {
		p.image(line)
		return
	}
	if line == "" {
		p.specific = false
		return
	}
	if p.specific {
		if p.e.Message != "" {
			p.e.Message += "\n"
		}
		if len(p.e.Message) < 4096 {
			p.e.Message += s.raw()
		}
		return
	}
	if isDigit(line[0]) {
		if f, ok := appleFrame(line); ok && p.cur != nil && len(*p.cur) < maxFrames {
			*p.cur = append(*p.cur, f)
		}
		return
	}
	if line[0] == '(' && p.cur == &p.last { // "(0x1823b0f60 0x19785bf80)"
		p.addresses(line)
		return
	}
	p.header(line)
}

func (p *appleParser) addresses(line string) {
	for word := range strings.FieldsSeq(strings.Trim(line, "()")) {
		if n, _, ok := hexPrefix(word); ok && len(p.last) < maxFrames {
			p.last = append(p.last, millrace.Frame{Address: n})
		}
	}
}

// header handles "Key: value" lines and the lines before threads.
func (p *appleParser) header(line string) {
	key, value, found := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch key {
	case "Exception Type":
		p.e.Type = value
	case "Exception Subtype", "Exception Codes", "Exception Message", "Termination Reason":
		if p.details == "" {
			p.details = value
		}
	case "Crashed Thread", "Triggered by Thread":
		p.crashedID = value[:digits(value)]
	case "Application Specific Information":
		p.specific = true
	case "Last Exception Backtrace", "Application Specific Backtrace 0", "Application Specific Backtrace 1":
		p.cur = &p.last
	case "Binary Images":
		p.imagesNow, p.cur = true, nil
	default:
		if rest, ok := strings.CutPrefix(line, "Thread "); ok && found {
			p.thread(rest)
		}
	}
}

// thread reads "0:", "1 Crashed: Name", "5 name:  Name", "2 Crashed:: Queue".
// "1 crashed with X86-64 Thread State:" ends the frames.
func (p *appleParser) thread(rest string) {
	n := digits(rest)
	id := rest[:n]
	what, name, _ := strings.Cut(rest[n:], ":")
	name = strings.TrimSpace(strings.TrimPrefix(name, ":"))
	switch what {
	case "", " Crashed", " Attributed":
	case " name":
		if p.names == nil {
			p.names = map[string]string{}
		}
		if len(p.names) < maxThreads {
			p.names[id] = name
		}
		return
	default:
		p.cur = nil
		return
	}
	if n == 0 || len(p.r.Threads) == maxThreads {
		return
	}
	if name == "" {
		name = p.names[id]
	}
	p.r.Threads = append(p.r.Threads, millrace.Thread{ID: id, Name: name, Crashed: what == " Crashed"})
	p.cur = &p.r.Threads[len(p.r.Threads)-1].Frames
}

// appleFrame reads "3   Demo App   0x000000010b70 0x10864e000 + 5384491", with
// "symbol + 64" or "symbol (file.m:16)" instead where symbols are known.
func appleFrame(line string) (f millrace.Frame, ok bool) {
	n := digits(line)
	at := strings.Index(line, " 0x")
	tab := strings.Index(line, "\t0x")
	if at < 0 || tab >= 0 && tab < at {
		at = tab
	}
	if at <= n {
		return f, false
	}
	f.Module = strings.TrimSpace(line[n:at])
	if f.Module == "???" {
		f.Module = ""
	}
	var rest string
	if f.Address, rest, ok = hexPrefix(line[at+1:]); !ok {
		return f, false
	}
	rest = strings.TrimSpace(rest)
	if plus := strings.LastIndex(rest, " + "); plus > 0 && digits(rest[plus+3:]) > 0 {
		offset := rest[plus+3:]
		if _, tail, isBase := hexPrefix(rest[:plus]); isBase && tail == "" {
			o, _ := number(offset)
			f.Offset = uint64(o)
			return f, true
		}
		// "symbol + 64 (file.m:16)"
		if d := digits(offset); d < len(offset) {
			appleSource(&f, strings.TrimSpace(offset[d:]))
		}
		rest = rest[:plus]
	} else if open := strings.LastIndex(rest, " ("); open > 0 && appleSource(&f, rest[open+1:]) {
		rest = rest[:open]
	}
	rest, _, _ = strings.Cut(rest, " (in ") // as symbolicating tools write it
	if rest != "<redacted>" {
		f.Function = rest
	}
	return f, true
}

// appleSource reads "(main.m:16)".
func appleSource(f *millrace.Frame, s string) bool {
	s, ok := strings.CutPrefix(s, "(")
	if !ok {
		return false
	}
	file, line, ok := cutLast(strings.TrimSuffix(s, ")"))
	if ok {
		f.File, f.Line = file, line
	}
	return ok
}

// image reads "0x10864e000 - 0x10ee0ffff +Name x86_64 (1.0) <uuid> /path".
func (p *appleParser) image(line string) {
	base, rest, ok := hexPrefix(line)
	if !ok || len(p.images) > maxFrames {
		return
	}
	end, rest, ok := hexPrefix(strings.TrimLeft(rest, " -"))
	if !ok {
		return
	}
	name, rest, _ := strings.Cut(rest, "<")
	uuid, path, _ := strings.Cut(rest, ">")
	name, _, _ = strings.Cut(strings.TrimLeft(name, " +"), " (")
	name = strings.TrimSpace(name)
	path = strings.TrimSpace(path)
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		name = path[i+1:]
	}
	p.images = append(p.images, image{base: base, end: end, name: name, build: buildID(uuid), path: path})
}

// buildID is the form of build ids in which they are compared: lower case,
// without dashes.
func buildID(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "-", ""))
}

// finish chooses the exception's frames and gives all frames their image.
func (p *appleParser) finish() {
	images := newImages(p.images)
	crashed := -1
	for i := range p.r.Threads {
		t := &p.r.Threads[i]
		if t.Crashed && (crashed < 0 || !p.r.Threads[crashed].Crashed) || crashed < 0 && t.ID == p.crashedID {
			crashed = i
		}
		images.resolve(t.Frames)
	}
	images.resolve(p.last)
	if crashed >= 0 {
		p.r.Threads[crashed].Crashed = true
		p.e.Thread = p.r.Threads[crashed].Name
	}
	switch {
	case len(p.last) > 0:
		p.e.Frames = p.last
	case crashed >= 0:
		p.e.Frames, p.r.Threads[crashed].Frames = p.r.Threads[crashed].Frames, nil
	}
	if p.e.Type == "" && len(p.e.Frames) == 0 && len(p.r.Threads) == 0 {
		return
	}
	if p.e.Message == "" {
		p.e.Message = p.details
	}
	p.r.Exception, p.r.Language, p.r.Mechanism = p.e, langCocoa, "mach"
}

// readCrash reads the crash reports that are text.
func readCrash(r *millrace.Report, text string) {
	switch {
	case strings.Contains(text, "\nThread ") && (strings.Contains(text, "Incident Identifier: ") ||
		strings.Contains(text, "Exception Type:") || strings.Contains(text, "\nBinary Images:")):
		readApple(r, text)
	case strings.Contains(text, "Exception Type:"):
		readApple(r, text)
	case strings.Contains(text, ">>> ") && strings.Contains(text, "signal "):
		readTombstone(r, text)
	case strings.Contains(text, "----- pid ") || strings.Contains(text, " prio=") || strings.Contains(text, "----- Waiting Channels: pid "):
		readANR(r, text)
	case strings.Contains(text, "Application received signal "):
		readUmeng(r, text)
	}
}

// crashMark reports whether line stands at the start of a crash report.
func crashMark(line string) bool {
	switch line[0] {
	case 'I':
		return strings.HasPrefix(line, "Incident Identifier: ")
	case 'E':
		return strings.HasPrefix(line, "Exception Type: ")
	case 'p':
		return strings.HasPrefix(line, "pid: ") && strings.Contains(line, ">>> ")
	case '-':
		return strings.HasPrefix(line, "----- pid ") || strings.HasPrefix(line, "----- Waiting Channels: pid ")
	case '"':
		return strings.Contains(line, " prio=") && strings.Contains(line, " tid=")
	case 'A':
		return strings.HasPrefix(line, "Application received signal ")
	}
	return false
}

// readUmeng reads the report of Umeng's SDK: the signal and the stack of
// -[NSException callStackSymbols].
func readUmeng(r *millrace.Report, text string) {
	e := &millrace.Exception{}
	s := lines{text: text}
	var img image
	for s.next() {
		if rest, ok := strings.CutPrefix(s.line, "Application received signal "); ok {
			e.Type = rest
		} else if rest, ok = strings.CutPrefix(s.line, "dSYM UUID: "); ok {
			img.build = buildID(rest)
		} else if rest, ok = strings.CutPrefix(s.line, "Binary Image: "); ok {
			img.name = rest
		} else if s.line != "" && isDigit(s.line[0]) {
			if f, ok := appleFrame(s.line); ok {
				addFrame(e, f)
			}
		}
	}
	for i := range e.Frames {
		f := &e.Frames[i]
		f.InApp = appleInApp(f.Module, "") && f.Module != ""
		if f.Module == img.name {
			f.Build = img.build
		}
	}
	if e.Type != "" {
		r.Exception, r.Language, r.Mechanism = e, langCocoa, "signal"
	}
}
