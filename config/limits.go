package config

import (
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// Limits says what this process may take of its machine.
type Limits struct {
	CPU         int `yaml:"cpu" default:"90" doc:"Percent of the processors that the process may use, which its affinity and its cgroup's quota bound already. Go code runs on so many processors, rounded, at least one; a query of the embedded database uses no more threads. Waiting in system calls and the embedded database's own threads come on top, so it is a share, not a hard bound: that is the cgroup's." example:"50"`
	Memory      int `yaml:"memory" default:"80" doc:"Percent of the machine's memory, or of its cgroup's limit if that is less, which the process may have resident. The setting memory may not be above it, or the server does not start; while the process is above it all the same, ingest answers 429 until it has given some back." example:"60"`
	Connections int `yaml:"connections" default:"4096" doc:"Open connections, of all ports together. An address may have no more of them than are left, so that one with very many, at most half of all, cannot keep others out; what is above is closed at once." example:"20000"`
	PerAddress  int `yaml:"connections_per_address" default:"2048" doc:"Open connections from one address, such as that of a proxy." example:"100"`
}

func (l *Limits) validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".cpu", l.CPU, 1, 100)
	millrace.Range(v, path+".memory", l.Memory, 1, 100)
	millrace.Range(v, path+".connections", l.Connections, 16, 1_000_000)
	millrace.Range(v, path+".connections_per_address", l.PerAddress, 1, 1_000_000)
}

// validateLag reports a bound that Kafka would overtake: it deletes what is older
// than the retention, whether a worker has read it or not.
func (c *Config) validateLag(v *millrace.Violations) {
	if c.LagHigh == 0 {
		return
	}
	millrace.Range(v, "lag_high", c.LagHigh, millrace.Duration(time.Second), millrace.Duration(365*24*time.Hour))
	if len(c.Queue.Broker) > 0 && c.LagHigh >= c.Queue.Retention {
		v.Append(&millrace.Violation{Path: "lag_high", Message: fmt.Sprintf(
			"%v: must be below queue.retention, %v: an external Kafka deletes what is older, whether a worker has read it or not",
			c.LagHigh, c.Queue.Retention)})
	}
}

// shareLag makes the default bound of the lag fit a shorter retention.
func (c *Config) shareLag() {
	if d := Default(); c.LagHigh == d.LagHigh {
		c.LagHigh = min(c.LagHigh, c.Queue.Retention*2/3)
	}
}
