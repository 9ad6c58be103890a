package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// Crash reports are read behind the decoder, whatever their form, and those that
// are no text are kept unless something has to be hidden.
func TestCrashReports(t *testing.T) {
	dir := testdata.Shared(t, "crash")
	for name, want := range map[string]string{
		"apple-crash/apple-crash-report-parser/bruno.crash.txt": "SIGSEGV", "apple-ips/AppleDemo.ips": "EXC_", "kscrash-json/NSException.json": "NSInvalid",
		"plcrash/fuzz_report.plcrash": "", "android/thread_dump.txt": "ANR", "metrickit/per-thread.json": "", "sentrycrash-json/CPPException.json": "",
	} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		read, _ := exception.ReadCrash(data)
		e := through(t, &decoding{exceptions: exceptions{version: 2}}, "crash", "", string(data))[0]
		r, err := exception.ParseReport([]byte(attrOf(&e, millrace.AttrReport)))
		if err != nil || len(r.Exception.Frames) == 0 || r.Mechanism != read.Mechanism || !strings.Contains(attrOf(&e, millrace.AttrType), want) ||
			attrOf(&e, millrace.AttrFingerprint) != exception.FingerprintOf(2, &read) || e.Level != "fatal" {
			t.Errorf("%s: %v, %s %.300s", name, err, attrOf(&e, millrace.AttrType), said(&e))
		}
		masked := through(t, &decoding{}, "crash", `masks: [{fields: ["*"], replace: {pattern: 'a{50}', with: "-"}}]`, string(data))[0]
		if whole := attrOf(&masked, attrCrashReport); strings.HasPrefix(string(data), "plcrash") && !strings.HasPrefix(whole, "(8813 bytes") {
			t.Errorf("%s: kept %.60q", name, whole)
		}
		if attrOf(&masked, millrace.AttrReport) == "" || masked.Message != e.Message {
			t.Errorf("%s: %s", name, said(&masked))
		}
	}
	hidden := through(t, &decoding{}, "crash", `masks: [{fields: ["*"], replace: {pattern: 'secret-\w+', with: "-"}}]`,
		"Incident Identifier: 1\nException Type: EXC_CRASH (SIGABRT)\nApplication Specific Information:\nno secret-place\n\nCrashed Thread: 0\nThread 0 Crashed:\n0   app  0x0000000100001000 0x100000000 + 4096\n")[0]
	if all := said(&hidden); strings.Contains(all, "secret") || !strings.Contains(all, `"v":1`) {
		t.Error(all)
	}
	nothing := through(t, &decoding{}, "crash", "", "the phone is broken")[0]
	if attrOf(&nothing, millrace.AttrFingerprint) == "" || attrOf(&nothing, attrMessage) != "the phone is broken" {
		t.Error(said(&nothing))
	}
	if !decode.Structured("crash") {
		t.Error("the body is split into lines")
	}
}
