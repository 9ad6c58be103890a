package pipeline

import "github.com/millrace/millrace"

// ExceptionOptions bounds what is kept of exceptions beside their counts.
type ExceptionOptions struct {
	Samples     int            `yaml:"samples" default:"20" doc:"Exceptions of which the details (message, stack, attributes) are stored, per fingerprint and minute: so many chosen at random, each with the same chance, and the oldest and the newest. Some more are stored, since what was stored stays when the choice changes." example:"50"`
	DetailBytes millrace.Bytes `yaml:"detail_bytes" default:"512MiB" doc:"Bytes of exceptions' details stored per minute of arrival, a twelfth of it in every 5 s. From 1/2 on the newest are thinned out, from 3/4 on only they and the oldest are stored, from 7/8 on one per fingerprint and minute, then none." example:"128MiB"`
	Reservoirs  int            `yaml:"reservoirs" default:"100000" doc:"Fingerprints and minutes that samples are chosen for at a time; further fingerprints share the choice of their project. Each takes about 250 bytes and 8 per sample." example:"20000"`
}

// DefaultExceptionOptions returns the defaults of the field tags.
func DefaultExceptionOptions() ExceptionOptions {
	return ExceptionOptions{Samples: 20, DetailBytes: 512 << 20, Reservoirs: 100_000}
}

func (o *ExceptionOptions) validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".samples", o.Samples, 1, 1000)
	millrace.Range(v, path+".detail_bytes", o.DetailBytes, 1<<20, 1<<40)
	millrace.Range(v, path+".reservoirs", o.Reservoirs, 16, 10_000_000)
}
