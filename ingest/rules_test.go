package ingest

import (
	"bytes"
	"testing"
)

// Every record carries the version that is current when it is appended: all
// parts of a request the same, beacons too, and none where there are no rules.
func TestRecordsAreStamped(t *testing.T) {
	f := setup(t)
	f.rules = map[string]int64{"default/shop": 7}
	check := func(want int64, records int) {
		t.Helper()
		got := f.take()
		if len(got) != records {
			t.Fatalf("%d records, want %d", len(got), records)
		}
		for _, r := range got {
			if r.Rules != want {
				t.Errorf("record of %s carries %d, want %d", r.Source, r.Rules, want)
			}
		}
	}
	want(t, f.do("POST", "/ingest?source=shop", []byte("one line\n")), 200)
	check(7, 1)
	f.rules["default/shop"] = 8
	line := append(bytes.Repeat([]byte{'x'}, 200<<10), '\n')
	want(t, f.do("POST", "/ingest?source=shop", bytes.Repeat(line, 12)), 200)
	check(8, 3)
	want(t, f.do("GET", "/ingest?source=shop&path=/cart", nil), 204)
	check(8, 1)
	want(t, f.do("POST", "/ingest?source=other", []byte("one line\n")), 200)
	check(0, 1)
}
