package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// bulkDocs are typical bodies of 1,000 items, by what sends them.
var bulkDocs = map[string]func(i int) string{
	// The document of the targets, 468 bytes, with an action for all.
	"flat": func(int) string { return `{"create":{"_index":"logs-shop-default"}}` + "\n" + samples["json"] + "\n" },
	// The same, each with its name.
	"named": func(i int) string {
		return fmt.Sprintf(`{"index":{"_index":"shop-2026.03.05","_id":"%020d"}}`, i) + "\n" + samples["json"] + "\n"
	},
	// As Filebeat sends a line of a log, 560 bytes of nested objects.
	"beats": func(i int) string {
		return `{"create":{"_index":"filebeat-8.15.0"}}` + "\n" + fmt.Sprintf(beatsDoc, 1000+i, i) + "\n"
	},
}

const beatsDoc = `{"@timestamp":"2026-03-05T11:59:58.123Z","log":{"offset":%d,"file":{"path":"/var/log/shop/app.log","inode":"1835012"}},` +
	`"message":"2026-03-05 11:59:58,123 INFO order %d placed by alice","input":{"type":"filestream"},"fields":{"team":"checkout"},"ecs":{"version":"8.0.0"},` +
	`"host":{"name":"web-07","os":{"family":"debian","platform":"debian","version":"12 (bookworm)"}},"agent":{"type":"filebeat","version":"8.15.0",` +
	`"ephemeral_id":"6e0e8b6f-90cf-4f39-bbd2-6f1c3e9d52f0","id":"2b1b9d2e-0c4a-4a7e-9a3d-8f4d1a5c6b7e","name":"web-07"}}`

func bulkBody(doc func(int) string, n int) []byte {
	var b strings.Builder
	for i := range n {
		b.WriteString(doc(i))
	}
	return []byte(b.String())
}

// BenchmarkBulk is all of decoding: Split at the door, and the pieces in the
// pipeline.
func BenchmarkBulk(b *testing.B) {
	for name, doc := range bulkDocs {
		body := bulkBody(doc, 1000)
		b.Run(name+"/split", func(b *testing.B) {
			var p Pieces
			for b.Loop() {
				if err := Split("bulk", nil, body, Limits{}, &p); err != nil || len(p.Events) != 1000 {
					b.Fatal(err, len(p.Events))
				}
			}
			report(b, len(body))
		})
		b.Run(name+"/both", func(b *testing.B) {
			var p Pieces
			var d Decoder
			batch, r := &millrace.Batch{}, splitRecord(b, "bulk", nil, body)
			for b.Loop() {
				if err := Split("bulk", nil, body, Limits{}, &p); err != nil {
					b.Fatal(err)
				}
				batch.Reset(r)
				d.Decode(batch)
				if len(batch.Events) != 1000 {
					b.Fatal(len(batch.Events), batch.Rejects)
				}
			}
			report(b, len(body))
		})
	}
}

func report(b *testing.B, size int) {
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
	b.ReportAllocs()
}

// TestBulkAllocations: a body in a reused state costs no allocation per item.
func TestBulkAllocations(t *testing.T) {
	for name, doc := range bulkDocs {
		body := bulkBody(doc, 1000)
		var p Pieces
		var d Decoder
		batch, r := &millrace.Batch{}, splitRecord(t, "bulk", nil, body)
		run := func() {
			if err := Split("bulk", nil, body, Limits{}, &p); err != nil {
				t.Fatal(err)
			}
			batch.Reset(r)
			d.Decode(batch)
		}
		run()
		run()
		if n := testing.AllocsPerRun(10, run); n > 2 {
			t.Errorf("%s: %.0f allocations for 1,000 items", name, n)
		}
	}
}
