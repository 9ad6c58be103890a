package decode

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

// crashEvent decodes one report as the server does.
func crashEvent(t testing.TB, b *millrace.Batch, body []byte) (*millrace.Event, error) {
	t.Helper()
	var p Pieces
	if err := Split("crash", nil, body, Limits{}, &p); err != nil || len(p.Events) == 0 {
		return nil, err
	}
	frame := AppendPiece(nil, 0, &p.Events[0])
	b.Reset(&millrace.Record{
		Project: "p", Source: "phones", Sender: "192.0.2.7", Format: "crash", Arrived: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixNano(),
		Payload: frame, Frames: []uint32{uint32(len(frame))},
	})
	var d Decoder
	d.Decode(b)
	if len(b.Events) != 1 {
		return nil, fmt.Errorf("%+v", b.Rejects)
	}
	return &b.Events[0], nil
}

// crashLine is what a report tells, on one line.
func crashLine(e *millrace.Event) string {
	out := fmt.Sprintf("%s %s %s %q %q %s", e.Kind, e.Level, time.Unix(0, e.Time).UTC().Format(time.RFC3339), e.Service, e.Release, e.Host)
	for _, a := range e.Attrs {
		if a.Key != attrCrashReport {
			out += fmt.Sprintf(" %s=%.60s", a.Key, a.Value.String())
		}
	}
	return out
}

const plistCrash = "Incident Identifier: 5C32\nCrashReporter Key:   k7\nHardware Model:      iPhone9,2\nProcess:             demo [3769]\nIdentifier:          im.zorro.demo\n" +
	"Version:             12 (3.5)\nCode Type:           ARM-64 (Native)\nDate/Time:           2020-03-27 18:06:51.4969 -0700\nOS Version:          iPhone OS 13.3.1 (17D50)\n\n" +
	"Exception Type:  EXC_CRASH (SIGABRT)\nCrashed Thread:  0\n\nThread 0 Crashed:\n0   demo  0x0000000100001000 0x100000000 + 4096\n"

func TestCrashFacts(t *testing.T) {
	plcrash := append([]byte("plcrash\x01"), []byte{
		1<<3 | 2, 12, 1 << 3, 1, 2<<3 | 2, 3, '9', '.', '1', 4 << 3, 0x80, 0xad, 0xe2, // cut below
	}...)
	plcrash = append(plcrash, 0xb1, 0x05) // the varint of the time ends
	plcrash[9] = byte(len(plcrash) - 10)
	plcrash = append(plcrash, 2<<3|2, 12, 1<<3|2, 5, 'a', '.', 'b', '.', 'c', 3<<3|2, 3, '2', '.', '0')
	plcrash = append(plcrash, 7<<3|2, 4, 1<<3|2, 2, 'm', 'y')
	for _, c := range []struct{ name, body, want string }{
		{"apple", plistCrash, `exception fatal 2020-03-28T01:06:51Z "demo" "3.5" 192.0.2.7 os=iPhone OS os_version=13.3.1 (17D50) device=iPhone9,2 device_id=k7 bundle_id=im.zorro.demo app_build=12 process=demo pid=3769 arch=ARM-64 (Native) incident_id=5C32 crash_format=apple`},
		{"a Mac's version is the other way round", strings.NewReplacer("iPhone OS 13.3.1 (17D50)", "macOS 13.0 (22A380)").Replace(plistCrash), `exception fatal 2020-03-28T01:06:51Z "demo" "12" 192.0.2.7 os=macOS os_version=13.0 (22A380) device=iPhone9,2 device_id=k7 bundle_id=im.zorro.demo app_build=3.5 process=demo pid=3769 arch=ARM-64 (Native) incident_id=5C32 crash_format=apple`},
		{
			"ips", `{"app_name":"Shop","timestamp":"2022-06-01 10:00:00.00 +0200","app_version":"2.1","bug_type":"309","os_version":"macOS 13.0 (22A380)","incident_id":"I1","bundleID":"a.b"}` + "\n" +
				`{"pid":7,"procName":"Shop","cpuType":"ARM-64","modelCode":"Mac14,2","osVersion":{"train":"macOS 13.0","build":"22A380"},"bundleInfo":{"CFBundleVersion":"77"},"threads":[],"usedImages":[],"crashReporterKey":"k"}`,
			`exception fatal 2022-06-01T08:00:00Z "Shop" "2.1" 192.0.2.7 os=macOS os_version=13.0 (22A380) device=Mac14,2 device_id=k bundle_id=a.b app_build=77 pid=7 arch=ARM-64 incident_id=I1 crash_format=ips`,
		},
		{
			"kscrash", `{"crash":{"error":{}},"report":{"id":"R","timestamp":"2016-11-07T23:17:23Z","process_name":"T"},"system":{"CFBundleShortVersionString":"1.0","CFBundleVersion":"9","CFBundleIdentifier":"o.T","system_name":"iOS","system_version":"9.3","machine":"iPhone5,1"},"user":{"id":"u1"}}`,
			`exception fatal 2016-11-07T23:17:23Z "T" "1.0" 192.0.2.7 os=iOS os_version=9.3 device=iPhone5,1 bundle_id=o.T app_build=9 process=T incident_id=R user={"id":"u1"} crash_format=kscrash`,
		},
		{
			"metrickit", `{"timeStampEnd":"2020-10-01 12:00:00 +0000","crashDiagnostics":[{"diagnosticMetaData":{"appVersion":"4.2","appBuildVersion":"42","osVersion":"iPhone OS 14.0 (18A373)","deviceType":"iPhone12,1","bundleIdentifier":"x.y"},"callStackTree":{}}]}`,
			`exception fatal 2020-10-01T12:00:00Z "x.y" "4.2" 192.0.2.7 os=iPhone OS os_version=14.0 (18A373) device=iPhone12,1 bundle_id=x.y app_build=42 crash_format=metrickit`,
		},
		{
			"tombstone", "*** *** *** *** ***\nBuild fingerprint: 'google/sdk/emu64a:13/TE1A/9:userdebug/dev-keys'\nABI: 'arm64'\nTimestamp: 2023-04-04 22:06:31.064728684+0200\npid: 5, tid: 6, name: t  >>> com.shop <<<\nsignal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0\n",
			`exception fatal 2023-04-04T20:06:31Z "com.shop" "" 192.0.2.7 os=Android os_version=13 device=emu64a process=com.shop pid=5 arch=arm64 crash_format=tombstone`,
		},
		{
			"anr", "----- pid 28941 at 2023-04-04 22:06:31.064728684+0200 -----\nCmd line: com.shop\nBuild fingerprint: 'google/sdk/emu64a:13/TE1A/9:userdebug/dev-keys'\nABI: 'arm64'\n\nDALVIK THREADS (2):\n\"main\" prio=5 tid=1 Runnable\n  at a.B.c(B.java:1)\n",
			`exception fatal 2023-04-04T20:06:31Z "com.shop" "" 192.0.2.7 os=Android os_version=13 device=emu64a process=com.shop pid=28941 arch=arm64 crash_format=anr`,
		},
		{"plcrash", string(plcrash), `exception fatal 2015-11-03T11:12:00Z "my" "2.0" 192.0.2.7 os=iOS os_version=9.1 bundle_id=a.b.c process=my crash_format=plcrashreporter`},
		{"text", "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1\n", `exception fatal 2026-11-22T12:00:00Z "phones" "" 192.0.2.7 crash_format=text`},
		{"no JSON", `{"crash":`, `exception fatal 2026-11-22T12:00:00Z "phones" "" 192.0.2.7 crash_format=text`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b millrace.Batch
			e, err := crashEvent(t, &b, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := crashLine(e); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if v, ok := e.Attr(attrCrashReport); ok {
				raw, err := base64.StdEncoding.DecodeString(v.String())
				if err != nil || string(raw) != c.body || e.Message != "PLCrashReporter report of my 2.0 (iOS 9.1)" {
					t.Errorf("%v %q, message %q", err, raw, e.Message)
				}
			} else if e.Message != strings.TrimSpace(c.body) {
				t.Errorf("message %q", e.Message)
			}
		})
	}
}

func TestCrashBounds(t *testing.T) {
	var b millrace.Batch
	for body, want := range map[string]string{
		strings.Repeat("x", int(DefaultMaxEvent)+1): "too_large",
		"\x7fELF\x00\x00":      "no crash report that is known",
		"MDMP\x93\xa7\x00\x00": "no crash report that is known",
		"\x1f\x8b\x08\x00\x00": "Content-Encoding: gzip",
	} {
		if _, err := crashEvent(t, &b, []byte(body)); err == nil || !strings.Contains(fmt.Sprint(millrace.ErrorCode(err), err), want) {
			t.Errorf("%.10q: %v", body, err)
		}
	}
	if e, err := crashEvent(t, &b, []byte(" \r\n")); e != nil || err != nil {
		t.Error(e, err)
	}
	e, err := crashEvent(t, &b, []byte("Exception Type: a\xff\xfeb\n"))
	if err != nil || e.Message != "Exception Type: a\ufffdb" {
		t.Error(err, e)
	}
}

// crashFiles are the reports of the shared data.
func crashFiles(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	dir := testdata.Shared(t, "crash")
	for _, sub := range []string{"apple-crash/*/*.txt", "apple-ips/*", "kscrash-json/*.json", "sentrycrash-json/*.json", "metrickit/*.json", "plcrash/*", "android/*.txt"} {
		names, err := filepath.Glob(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(name, dir+"/")] = data
		}
	}
	return files
}

// Of every shared report the form is known, and what it tells of app and time.
func TestCrashFiles(t *testing.T) {
	told := 0
	for name, data := range crashFiles(t) {
		var b millrace.Batch
		e, err := crashEvent(t, &b, data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		form, _ := e.Attr(attrCrashFormat)
		if form.String() == crashText && !strings.Contains(name, "user-info-scope") { // which has no crash
			t.Errorf("%s is just a text", name)
		}
		if e.HasTime && e.Service != "phones" {
			told++
		} else if dir := filepath.Dir(name); dir != "metrickit" && form.String() != crashUmeng { // bare stacks, which tell neither
			t.Logf("%s: %s", name, crashLine(e))
		}
	}
	if told < 34 {
		t.Errorf("%d tell app and time", told)
	}
}

func FuzzCrash(f *testing.F) {
	f.Add([]byte(plistCrash))
	f.Add([]byte("plcrash\x01\x0a\x02\x08\x01"))
	f.Add([]byte(`{"app_name":"a","bug_type":"309"}` + "\n" + `{"pid":1,"osVersion":{"train":"x 1"}}`))
	f.Add([]byte(`{"crash":{},"system":{"CFBundleName":"n"},"user":{"id":1}}`))
	f.Add([]byte("\x08\x01\x12\x05a/b:c\x1a\x01r\x22\x1d2022-06-01 10:00:00.00 +0200"))
	f.Add([]byte("{\"crash\":{},\"system\":{\"CFBundleName\":\"n\"},\"user\":{\"id\x87\":1}}"))
	f.Add([]byte(`{"timeStampEnd":"2026-11-22 10:00:00","crashDiagnostics":[{"callStackTree":{}},{}],"hangDiagnostics":[{}]}`))
	f.Add([]byte("----- pid 1 at 2023-04-04 22:06:31+0200 -----\nCmd line: a\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b millrace.Batch
		before := bytes.Clone(body)
		e, err := crashEvent(t, &b, body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil || e == nil {
			return
		}
		if e.Kind != millrace.KindException || e.Message == "" || !utf8.ValidString(e.Message) {
			t.Fatalf("%s %q", e.Kind, e.Message)
		}
		for _, a := range e.Attrs {
			if !utf8.ValidString(a.Value.String()) {
				t.Fatalf("%s is %q", a.Key, a.Value.String())
			}
		}
		for _, s := range []string{e.Service, e.Release, e.Host} {
			if !utf8.ValidString(s) {
				t.Fatalf("%q", s)
			}
		}
		if text := string(millrace.AppendAttrs(nil, e.Attrs)); !utf8.ValidString(text) {
			t.Fatal(text)
		}
	})
}

func BenchmarkCrash(b *testing.B) {
	for name, body := range map[string]string{
		"apple50KB": plistCrash + strings.Repeat("1   UIKit   0x0000000185a1c0d8 0x185000000 + 10600664\n", 900),
		"ks50KB":    `{"report":{"id":"R"},"system":{"CFBundleName":"n"},"crash":{"threads":[` + strings.Repeat(`{"backtrace":{"contents":[{"instruction_addr":1,"object_name":"x"}]}},`, 700) + `{}]}}`,
	} {
		b.Run(name, func(b *testing.B) {
			var p Pieces
			if err := Split("crash", nil, []byte(body), Limits{}, &p); err != nil {
				b.Fatal(err)
			}
			frame := AppendPiece(nil, 0, &p.Events[0])
			rec := &millrace.Record{Source: "s", Format: "crash", Arrived: 1e18, Payload: frame, Frames: []uint32{uint32(len(frame))}}
			var batch millrace.Batch
			var d Decoder
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset(rec)
				if d.Decode(&batch); len(batch.Events) != 1 {
					b.Fatal(batch.Rejects)
				}
			}
		})
	}
}
