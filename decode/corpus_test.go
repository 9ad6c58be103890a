package decode

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

// TestCorpus decodes every shared log: in auto each line is part of exactly one
// event or refused at the door, nothing is rejected later, and access logs in
// the supported formats are recognised to the last line.
func TestCorpus(t *testing.T) {
	refused := map[string]int{}
	files, lines := 0, 0
	for _, folder := range []string{"access-logs", "app-logs"} {
		err := filepath.WalkDir(testdata.Shared(t, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".md") {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			lines += checkCorpusFile(t, path, body, refused)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d lines, refused %v", files, lines, refused)
	for reason := range refused {
		if reason != ReasonBadJSON && reason != ReasonBadUTF8 && reason != ReasonLineTooLong {
			t.Errorf("unexpected reason %q", reason)
		}
	}
	if files < 100 || lines < 50000 {
		t.Errorf("only %d files with %d lines", files, lines)
	}
}

// checkCorpusFile returns the number of lines that are not blank.
func checkCorpusFile(t *testing.T, path string, body []byte, refused map[string]int) int {
	t.Helper()
	r, fr := recordOf(t, "auto", body)
	b := &millrace.Batch{}
	b.Reset(r)
	new(Decoder).Decode(b)
	checkBatch(t, b)
	if len(b.Rejects) > 0 {
		t.Errorf("%s: %d rejects, first %+v", path, len(b.Rejects), b.Rejects[0])
	}
	for _, l := range fr.Refused {
		refused[l.Reason]++
	}
	total, framed := countLines(body), len(fr.Refused)
	for _, s := range fr.Events {
		framed += countLines(body[s.Start:s.End])
	}
	if array, _ := ArrayBody(body); array { // what beats' modules are expected to make of a file
		var elements []json.RawMessage
		if err := json.Unmarshal(body, &elements); err != nil {
			t.Fatal(path, err)
		}
		total, framed = len(elements), len(fr.Events)+len(fr.Refused)
	}
	if framed != total {
		t.Errorf("%s: %d lines, %d in events or refused", path, total, framed)
	}
	for i := range b.Events {
		e := &b.Events[i]
		if accessRE.MatchString(e.Message) && e.Kind != millrace.KindAccess {
			t.Errorf("%s: not recognised: %s", path, e.Message)
		}
	}
	return total
}

func countLines(b []byte) int {
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(b), string(bom)), "\n") {
		if !blank([]byte(line)) {
			n++
		}
	}
	return n
}
