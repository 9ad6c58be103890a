package ingest

import (
	"github.com/millrace/millrace"
)

// Options bounds what a request may cost.
type Options struct {
	MaxBody       millrace.Bytes    `yaml:"max_body" default:"64MiB" doc:"Largest body, after decompression. It is held in memory until it is durable; senders of files cut them into smaller requests anyway." example:"16MiB"`
	MaxCompressed millrace.Bytes    `yaml:"max_compressed" default:"64MiB" doc:"Largest body as sent, compressed." example:"16MiB"`
	MaxLine       millrace.Bytes    `yaml:"max_line" default:"256KiB" doc:"Longest line. Longer ones are dumps, not log lines; they are refused one by one and the rest of the request is kept." example:"64KiB"`
	MaxLines      int               `yaml:"max_lines" default:"1000000" doc:"Most lines of a body. Each takes memory besides its bytes, which matters if it has only a few." example:"100000"`
	Memory        millrace.Bytes    `yaml:"memory" default:"256MiB" doc:"All request bodies in flight together. Beyond it requests are answered 429." example:"1GiB"`
	SlowGrace     millrace.Duration `yaml:"slow_grace" default:"15s" doc:"How long a body may take whatever its size, so that slow links are not cut off." example:"1m"`
	MinRate       millrace.Bytes    `yaml:"min_rate" default:"16KiB" doc:"Bytes per second that a body must arrive at beyond the grace: a client that trickles holds memory." example:"1KiB"`
	AppendTimeout millrace.Duration `yaml:"append_timeout" default:"30s" doc:"How long to wait for the queue to have a request on disk before it is answered 503 or 504; the client then sends it again." example:"10s"`
	ForwardedFor  bool              `yaml:"forwarded_for" default:"false" doc:"Take the sender's address from the last entry of X-Forwarded-For. Only behind a proxy that sets it: else any client can claim any address." example:"true"`
}

// DefaultOptions returns the defaults of the tags.
func DefaultOptions() Options {
	return Options{
		MaxBody: 64 << 20, MaxCompressed: 64 << 20, MaxLine: 256 << 10, MaxLines: 1_000_000, Memory: 256 << 20,
		SlowGrace: millrace.Duration(15e9), MinRate: 16 << 10, AppendTimeout: millrace.Duration(30e9),
	}
}

// maxRecord is the most payload of one queue record, fixed by the design: topic
// and producer limits are twice that. Changing it would change how a body that
// is sent again is split, and so break deduplication across the change.
const maxRecord = 1 << 20

// Validate reports what is wrong with o.
func (o *Options) Validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".max_body", o.MaxBody, 4<<10, 1<<30)
	millrace.Range(v, path+".max_compressed", o.MaxCompressed, 4<<10, 1<<30)
	millrace.Range(v, path+".max_line", o.MaxLine, 256, maxRecord)
	millrace.Range(v, path+".max_lines", o.MaxLines, 1000, 10_000_000)
	millrace.Range(v, path+".slow_grace", o.SlowGrace, millrace.Duration(1e9), millrace.Duration(3600e9))
	millrace.Range(v, path+".min_rate", o.MinRate, 1, 1<<30)
	millrace.Range(v, path+".append_timeout", o.AppendTimeout, millrace.Duration(1e9), millrace.Duration(600e9))
	// A body that grows into its last buffer holds the one before, too.
	if need := bufferSize(o.MaxBody)*3/2 + maxDecoder + millrace.Bytes(o.MaxLines)*lineMemory; o.Memory < need {
		v.Add(path+".memory", o.Memory, "at least "+need.String()+", or a body at the limits can never be taken")
	}
}
