package exception_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/testdata"
)

// TestSentryEnvelopes compares what becomes of each envelope with a walk over its
// items: events are decoded, with an exception if they have one, all others are
// skipped by their type.
func TestSentryEnvelopes(t *testing.T) {
	f := newFamily(t, "sentry-java-envelopes", map[string]string{
		"android-event-attachment.txt": "its event lacks a closing brace, and is refused as bad_json; the attachments are skipped",
	})
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "exceptions/sentry-java-envelopes"), "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f.check(filepath.Base(file), compareEnvelope(t, data))
	}
	f.done(9)
}

func compareEnvelope(t *testing.T, data []byte) string {
	t.Helper()
	events, others := walkEnvelope(t, data)
	var p decode.Pieces
	if err := decode.Split("sentry", nil, data, decode.Limits{}, &p); err != nil {
		return err.Error()
	}
	skipped := int64(0)
	for _, s := range p.Skipped {
		skipped += s.Events
	}
	if len(p.Refused) > 0 || len(p.Events) != len(events) || skipped != int64(others) {
		return fmt.Sprintf("%d events of %d, %d others of %d, refused %+v", len(p.Events), len(events), skipped, others, p.Refused)
	}
	for i := range p.Events {
		if !bytes.Equal(p.Events[i].Item, events[i]) {
			return fmt.Sprintf("event %d is another", i)
		}
		if problem := compareSentry(t, events[i]); problem != "" {
			return problem
		}
	}
	return ""
}

// walkEnvelope takes an envelope apart by the lengths that its items state.
func walkEnvelope(t *testing.T, data []byte) (events [][]byte, others int) {
	t.Helper()
	_, rest, _ := bytes.Cut(data, []byte{'\n'})
	for len(bytes.TrimSpace(rest)) > 0 {
		head, payload, _ := bytes.Cut(rest, []byte{'\n'})
		var item struct {
			Type   string
			Length *int
		}
		if err := json.Unmarshal(head, &item); err != nil {
			t.Fatal(err)
		}
		n := bytes.IndexByte(append(payload[:len(payload):len(payload)], '\n'), '\n')
		if l := item.Length; l != nil && *l <= len(payload) && (*l == len(payload) || payload[*l] == '\n') {
			n = *l // else the length is wrong, as that of two samples, and the payload its line
		}
		if item.Type == "event" {
			events = append(events, payload[:n])
		} else {
			others++
		}
		rest = bytes.TrimPrefix(payload[n:], []byte{'\n'})
	}
	return events, others
}
