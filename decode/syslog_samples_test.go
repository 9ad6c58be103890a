package decode

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

// decodeSample frames and decodes a text as one record.
func decodeSample(t *testing.T, format string, text []byte) (*Framing, *millrace.Batch) {
	t.Helper()
	var f Framing
	if err := Frame(format, text, Limits{}, &f); err != nil {
		t.Fatal(err)
	}
	r := &millrace.Record{Project: "default", Source: "src", Format: format, Sender: "10.9.8.7", Arrived: time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC).UnixNano()}
	for _, e := range f.Events {
		r.Payload = append(r.Payload, text[e.Start:e.End]...)
		r.Frames = append(r.Frames, uint32(e.End-e.Start))
	}
	b := &millrace.Batch{}
	b.Reset(r)
	var d Decoder
	d.Decode(b)
	return &f, b
}

// What Filebeat's module reads from its samples is found here, too: host,
// program and PID of every line, by the line's place.
func TestSyslogSamplesOfFilebeat(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(testdata.Shared(t, "app-logs", "filebeat-modules", "system"), "*", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatal("no samples", err)
	}
	checked := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		expected, err := os.ReadFile(name + "-expected.json")
		if err != nil {
			t.Fatal(err)
		}
		var want []map[string]any
		if err := json.Unmarshal(expected, &want); err != nil {
			t.Fatal(err)
		}
		f, b := decodeSample(t, "auto", text)
		at := map[int]*millrace.Event{}
		for i := range b.Events {
			at[f.Events[b.Events[i].Ordinal].Start] = &b.Events[i]
		}
		for _, w := range want {
			offset := int(w["log.offset"].(float64))
			e := at[offset]
			where := filepath.Base(name) + " at " + strconv.Itoa(offset)
			if e == nil {
				t.Errorf("%s: no event", where)
				continue
			}
			checked++
			if host, ok := w["host.hostname"].(string); ok && e.Host != host {
				t.Errorf("%s: host %q, want %q", where, e.Host, host)
			}
			if process, ok := w["process.name"].(string); ok && e.Service != process && !strings.HasPrefix(process, e.Service+"[1] (") { // launchd's child is in the line
				t.Errorf("%s: service %q, want %q", where, e.Service, process)
			}
			if pid, ok := w["process.pid"].(float64); ok {
				if v, _ := e.Attr("pid"); v.String() != strconv.Itoa(int(pid)) {
					t.Errorf("%s: pid %v, want %v", where, v, pid)
				}
			}
		}
	}
	t.Logf("%d events", checked)
}

// Every message with a priority that the samples hold becomes an event with its
// facility and level, and each of its bytes is found again: in the message or in
// another field.
func TestSyslogSamplesWithPriority(t *testing.T) {
	root := testdata.Shared(t, "app-logs")
	checked := 0
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			var h syslogHeader
			if line = trimEnd(line); len(line) < 10 || line[0] != '<' {
				continue
			}
			if _, ok := scanPriority(line, &h); !ok {
				continue
			}
			_, b := decodeSample(t, "syslog", bytes.Clone(line))
			if len(b.Events) != 1 {
				t.Errorf("%s: %d events of %s", filepath.Base(name), len(b.Events), line)
				continue
			}
			checked++
			e := &b.Events[0]
			if v, ok := e.Attr(attrFacility); !ok || e.Level == "" {
				t.Errorf("%s: facility %v, level %q: %s", filepath.Base(name), v, e.Level, line)
			}
			found := e.Message + " " + e.Host + " " + e.Service
			for _, a := range e.Attrs {
				found += " " + a.Key + " " + a.Value.String()
			}
			for _, word := range strings.FieldsFunc(string(line[5:]), func(r rune) bool { return !isAlnum(byte(r)) || r > 127 }) {
				if !strings.Contains(found, word) && !bytes.Contains(line[:min(len(line), 40)], []byte(word)) {
					t.Errorf("%s: %q is lost: %s\n%s", filepath.Base(name), word, line, found)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Error("no messages")
	}
	t.Logf("%d messages", checked)
}
