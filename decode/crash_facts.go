package decode

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// crashFacts are what a crash report tells beside the crash. Strings point into
// the report or are its own.
type crashFacts struct {
	time                               string // as written
	seconds                            int64  // since 1970, of those that count
	app, bundle, process, release      string
	build, os, osVersion, device, arch string
	deviceID, incident, pid            string
	user                               string // JSON object
}

// crashHead is how much of a text is looked at for facts.
const crashHead = 16 << 10

// crashTextForm tells the form of a text.
func crashTextForm(b []byte) string {
	if bytes.HasPrefix(b, []byte("Application received signal")) || bytes.HasPrefix(b, []byte("*** Terminating app due to")) {
		return crashUmeng
	}
	form := crashText
	eachLine(b[:min(len(b), crashHead)], func(line []byte) bool {
		switch {
		case hasPrefix(line, "Incident Identifier:"), hasPrefix(line, "Exception Type:"), hasPrefix(line, "Crashed Thread:"):
			form = crashApple
		case hasPrefix(line, "*** *** ***"), hasPrefix(line, "pid: ") && bytes.Contains(line, []byte(", tid: ")):
			form = crashTombstone
		case hasPrefix(line, "----- pid "), hasPrefix(line, "DALVIK THREADS"), hasPrefix(line, "Subject: ") && bytes.Contains(line, []byte("timed out")):
			form = crashANR
		}
		return form == crashText
	})
	return form
}

// eachLine calls f for every line, without blanks around it, until it returns false.
func eachLine(b []byte, f func(line []byte) bool) {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		if !f(bytes.TrimSpace(line)) {
			return
		}
		b = rest
	}
}

// crashFacts reads what is known of a report. What it does not tell stays empty.
func (d *Decoder) crashFacts(form string, b []byte) (f crashFacts) {
	switch form {
	case crashApple:
		f.apple(b)
	case crashTombstone, crashANR:
		f.android(b)
	case crashIPS, crashKS, crashMetric:
		d.crashJSON(&f, bytes.TrimLeft(b, " \t\r\n\ufeff"))
	case crashPL:
		f.plcrash(b[len(plcrashMagic)+1:])
	case crashTombProto:
		f.tombstone(b)
	}
	return f
}

// apple reads the header of Apple's text form (developer.apple.com, "Examining
// the fields in a crash report", as of November 2026).
func (f *crashFacts) apple(b []byte) {
	version := ""
	eachLine(b[:min(len(b), crashHead)], func(line []byte) bool {
		key, value, found := bytes.Cut(line, []byte{':'})
		if !found || len(line) > 1024 || !utf8.Valid(line) {
			return true
		}
		v := string(bytes.TrimSpace(value))
		switch string(key) {
		case "Incident Identifier":
			f.incident = v
		case "CrashReporter Key", "Anonymous UUID":
			f.deviceID = v
		case "Hardware Model":
			f.device = v
		case "Process":
			f.process, f.pid = processOf(v)
		case "Identifier":
			f.bundle = v
		case "Version":
			version = v
		case "Code Type":
			f.arch = v
		case "Date/Time":
			f.time = v
		case "OS Version":
			f.os, f.osVersion = osOf(v)
		case "Binary Images":
			return false
		}
		return true
	})
	f.app = f.process
	f.version(version)
}

// version takes "1.2 (34)" apart: on a Mac the version that users see and the
// build, elsewhere the other way round.
func (f *crashFacts) version(s string) {
	outside, inside, found := strings.Cut(strings.TrimSuffix(s, ")"), " (")
	if !found || inside == "" || inside == "???" || strings.HasPrefix(f.os, "mac") || strings.HasPrefix(f.os, "Mac") {
		f.release, f.build = outside, inside
		return
	}
	f.release, f.build = inside, outside
}

// processOf reads "demo [3769]".
func processOf(s string) (name, pid string) {
	name, pid, _ = strings.Cut(strings.TrimSuffix(s, "]"), "[")
	return strings.TrimSpace(name), pid
}

// osOf reads "iPhone OS 13.3.1 (17D50)": the name ends where the number begins.
func osOf(s string) (name, version string) {
	i := strings.IndexAny(s, "0123456789")
	if i < 0 {
		return s, ""
	}
	return strings.TrimSpace(s[:i]), s[i:]
}

// android reads the heads of tombstones and ANRs (source.android.com, "Debug
// native Android platform code"; dalvik's thread dumps).
func (f *crashFacts) android(b []byte) {
	f.os = "Android"
	eachLine(b[:min(len(b), crashHead)], func(line []byte) bool {
		if len(line) > 4096 || !utf8.Valid(line) {
			return true
		}
		text := string(line)
		key, value, _ := strings.Cut(text, ":")
		value = strings.Trim(strings.TrimSpace(value), "'")
		switch {
		case strings.HasPrefix(text, "----- pid ") && f.time == "":
			rest, _, _ := strings.Cut(text[len("----- pid "):], " -----")
			f.pid, f.time, _ = strings.Cut(rest, " at ")
		case strings.HasPrefix(text, "pid: ") && f.pid == "":
			f.pid, _, _ = strings.Cut(value, ",")
			if _, name, ok := strings.Cut(text, ">>> "); ok {
				name, _, _ = strings.Cut(name, " <<<")
				f.process = name
			}
		case key == "Build fingerprint":
			f.fingerprint(value)
		case key == "ABI":
			f.arch = value
		case key == "Timestamp":
			f.time = value
		case key == "Cmd line", key == "Cmdline":
			f.process, _, _ = strings.Cut(value, " ")
		case key == "Subject" && f.process == "": // "Input dispatching timed out (7985007 com.example.app/com.example.app.ui.Main …"
			if before, _, ok := strings.Cut(value, "/"); ok {
				f.process = before[strings.LastIndexAny(before, " (")+1:]
			}
		case key == "timestamp_ms" && f.time == "":
			f.time = value
		}
		return !strings.HasPrefix(text, "DALVIK THREADS")
	})
	f.app = f.process
}

// fingerprint reads "google/sdk_gphone64/emu64a:13/TE1A.220922.012/9302419:…":
// brand, product, device, version of Android.
func (f *crashFacts) fingerprint(s string) {
	f.os = "Android"
	before, after, ok := strings.Cut(s, ":")
	if !ok {
		return
	}
	f.device = before[strings.LastIndexByte(before, '/')+1:]
	f.osVersion, _, _ = strings.Cut(after, "/")
}

// plcrash reads PLCrashReporter's message (crash_report.proto of version 1.11: 1
// system, 2 application, 7 process, 8 machine, 9 report).
func (f *crashFacts) plcrash(b []byte) {
	eachField(b, func(tag int, n uint64, data []byte) {
		switch tag {
		case 1:
			f.plcrashSystem(data)
		case 2:
			eachField(data, func(tag int, _ uint64, data []byte) {
				switch tag {
				case 1:
					f.bundle = validText(data)
				case 2:
					f.build = validText(data)
				case 3:
					f.release = validText(data)
				}
			})
		case 7:
			eachField(data, func(tag int, n uint64, data []byte) {
				switch tag {
				case 1:
					f.process = validText(data)
				case 2:
					f.pid = strconv.FormatUint(n, 10)
				}
			})
		case 8:
			eachField(data, func(tag int, _ uint64, data []byte) {
				if tag == 1 {
					f.device = validText(data)
				}
			})
		case 9:
			eachField(data, func(tag int, _ uint64, data []byte) {
				if tag == 2 {
					f.incident = hex.EncodeToString(data[:min(len(data), 16)])
				}
			})
		}
	})
	f.app = f.process
	if f.release == "" {
		f.release, f.build = f.build, ""
	}
}

// plcrashSystem: 1 system, 2 its version, 3 architecture, 4 seconds since 1970.
func (f *crashFacts) plcrashSystem(b []byte) {
	f.os = "macOS"
	eachField(b, func(tag int, n uint64, data []byte) {
		switch tag {
		case 1:
			if names := [...]string{"macOS", "iOS", "iOS Simulator", "", "tvOS"}; n < uint64(len(names)) {
				f.os = names[n]
			}
		case 2:
			f.osVersion = validText(data)
		case 4:
			if n < 1<<33 { // the year 2242
				f.seconds = int64(n)
			}
		}
	})
}

// tombstone reads Android's message (tombstone.proto of Android 16: 1
// architecture, 2 build fingerprint, 4 time, 5 process id, 9 command line).
func (f *crashFacts) tombstone(b []byte) {
	f.os = "Android"
	eachField(b, func(tag int, n uint64, data []byte) {
		switch tag {
		case 1:
			if names := [...]string{"arm", "arm64", "x86", "x86_64", "riscv64"}; n < uint64(len(names)) {
				f.arch = names[n]
			}
		case 2:
			f.fingerprint(validText(data))
		case 4:
			f.time = validText(data)
		case 5:
			f.pid = strconv.FormatUint(n, 10)
		case 9:
			if f.process == "" {
				f.process = validText(data)
			}
		}
	})
	f.app = f.process
}

// eachField calls f for the fields of a protocol buffer, up to what is broken.
func eachField(b []byte, f func(tag int, n uint64, data []byte)) {
	for i := 0; i < len(b); {
		tag, n, data, next := nextField(b, i)
		if next < 0 {
			return
		}
		f(int(tag>>3), n, data)
		i = next
	}
}

// validText returns data as a text of at most 1 KiB, "" if it is none.
func validText(data []byte) string {
	if data = data[:min(len(data), 1024)]; !utf8.Valid(data) {
		return ""
	}
	return string(data)
}
