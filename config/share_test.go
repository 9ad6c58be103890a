package config

import "testing"

// TestUnembeddedShare: what the embedded database does not take goes to what waits to
// be stored, unless that is set.
func TestUnembeddedShare(t *testing.T) {
	f := func(text string, rows int, bytes, cells int64) {
		t.Helper()
		c, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if p := &c.Pipeline; p.FlushRows != rows || int64(p.FlushBytes) != bytes<<20 || int64(p.RollupMemory) != cells<<20 {
			t.Errorf("%q: flush %d rows, %v, cells %v; want %d, %d MiB, %d MiB", text, p.FlushRows, p.FlushBytes, p.RollupMemory, rows, bytes, cells)
		}
	}
	const shared = "clickhouse: {address: \"clickhouse://h/logs\"}\n"
	f("memory: 1536MiB", 122_880, 96, 192)
	f(shared, 491_520, 160, 320)
	f(shared+"memory: 3GiB", 491_520, 224, 640)
	f(shared+"pipeline: {flush_rows: 1000, flush_bytes: 1MiB, rollup_memory: 64MiB}", 1000, 1, 64)
}
