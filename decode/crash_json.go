package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// crashJSONForm tells the form of a report that is JSON, by the keys of its first
// object; "" if it is none, or is not well-formed.
func crashJSONForm(b []byte) string {
	end := skipValue(b, 0, 1)
	if end < 0 {
		return ""
	}
	form, images, threads := "", false, false
	eachMember(b[:end], 0, func(key []byte, at int) int {
		switch string(key) {
		case "crash", "recrash_report":
			form = crashKS
		case "callStacks", "callStackTree", "crashDiagnostics", "hangDiagnostics", "cpuExceptionDiagnostics", "diskWriteExceptionDiagnostics", "appLaunchDiagnostics":
			if form == "" {
				form = crashMetric
			}
		case "bug_type":
			form = crashIPS
		case "usedImages":
			images = true
		case "threads":
			threads = true
		}
		return skipValue(b, at, 1)
	})
	if form == "" && images && threads {
		form = crashIPS
	}
	rest := bytes.TrimSpace(b[end:])
	if form != crashIPS && len(rest) > 0 {
		return ""
	}
	return form
}

// crashJSON reads the facts of a report that is JSON: those of an .ips (header of
// Apple's file, and report of macOS 12 and iOS 15 on), KSCrash and SentryCrash
// (report versions 2 and 3), and MetricKit (iOS 14 on). The names of the former
// come first where both have one.
func (d *Decoder) crashJSON(f *crashFacts, b []byte) {
	end := skipValue(b, 0, 1)
	if end < 0 {
		return
	}
	if rest := bytes.TrimLeft(b[end:], " \t\r\n"); len(rest) > 0 {
		if rest[0] == '{' && skipValue(rest, 0, 1) > 0 {
			d.crashObject(f, rest)
		} else {
			f.apple(rest)
		}
	}
	d.crashObject(f, b[:end])
	f.app = first(f.app, f.process)
}

// crashObject reads the members that are known, and those of objects within.
func (d *Decoder) crashObject(f *crashFacts, b []byte) {
	eachMember(b, 0, func(key []byte, at int) int {
		end := skipValue(b, at, 1)
		if end < 0 {
			return end
		}
		switch string(key) {
		case "system", "report", "bundleInfo", "diagnosticMetaData", "metaData":
			if b[at] == '{' {
				d.crashObject(f, b[at:end])
			}
		case "crashDiagnostics", "hangDiagnostics", "cpuExceptionDiagnostics", "diskWriteExceptionDiagnostics", "appLaunchDiagnostics":
			d.crashDiagnostic(f, b[at:end])
		case "osVersion":
			if b[at] == '{' {
				d.crashOS(f, b[at:end])
				break
			}
			fallthrough
		default:
			d.crashMember(f, key, b, at)
		case "user":
			if b[at] == '{' && len(b[at:end]) > len("{}") {
				f.user = borrow(b[at:end])
			}
		}
		return end
	})
}

// crashDiagnostic reads the first of a list.
func (d *Decoder) crashDiagnostic(f *crashFacts, list []byte) {
	if len(list) == 0 || list[0] != '[' {
		return
	}
	seen := false
	eachElement(list, 0, func(at int) int {
		end := skipValue(list, at, 1)
		if !seen && end > 0 && list[at] == '{' {
			seen = true
			d.crashObject(f, list[at:end])
		}
		return end
	})
}

// crashOS reads {"train": "macOS 13.0", "build": "22A380"}.
func (d *Decoder) crashOS(f *crashFacts, b []byte) {
	eachMember(b, 0, func(key []byte, at int) int {
		if string(key) == "train" && f.os == "" {
			text, _ := d.textAt(b, at)
			f.os, f.osVersion = osOf(text)
		}
		return skipValue(b, at, 1)
	})
}

// crashMember files one member.
func (d *Decoder) crashMember(f *crashFacts, key, b []byte, at int) {
	v, raw, end := d.jsonValue(b, at)
	if end < 0 || v.Kind() == millrace.ValueJSON {
		return
	}
	text := scalar(v, raw[0], raw)
	if into := f.member(string(key)); into != nil && text != "" && text != "null" && len(text) <= 1024 {
		switch string(key) {
		case "os_version", "osVersion":
			if f.os == "" || raw[0] == '"' && text[0] > '9' {
				name, version := osOf(text)
				f.os, f.osVersion = first(name, f.os), version
			} else {
				f.osVersion = text
			}
		default:
			*into = text
		}
	}
}

// member returns the fact that a member tells, nil for none.
func (f *crashFacts) member(key string) *string {
	switch key {
	case "timestamp", "captureTime", "timeStampEnd":
		return &f.time
	case "app_name", "CFBundleName", "procName":
		return &f.app
	case "process_name", "CFBundleExecutable":
		return &f.process
	case "bundleID", "CFBundleIdentifier", "bundleIdentifier":
		return &f.bundle
	case "app_version", "CFBundleShortVersionString", "appVersion":
		return &f.release
	case "build_version", "CFBundleVersion", "appBuildVersion":
		return &f.build
	case "os_version", "osVersion":
		return &f.osVersion
	case "system_name":
		return &f.os
	case "system_version":
		return &f.osVersion
	case "modelCode", "machine", "deviceType":
		return &f.device
	case "cpuType", "cpu_arch", "platformArchitecture":
		return &f.arch
	case "incident_id", "incident", "id":
		return &f.incident
	case "crashReporterKey", "device_app_hash":
		return &f.deviceID
	case "pid", "process_id":
		return &f.pid
	}
	return nil
}
