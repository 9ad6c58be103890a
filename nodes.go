package millrace

import (
	"context"
	"time"
)

// Nodes keeps which nodes there are, by what they say of themselves every few
// seconds. Implementation: meta, on PostgreSQL for many nodes; on SQLite it knows
// this process only. Calls are safe for concurrent use.
//
// It is for people, dashboards and load balancers; nothing that counts events
// depends on it.
type Nodes interface {
	// Announce stores what a node says of itself over what it said before. other
	// reports that another process did so under the same name since: names should
	// be unique. A process that takes the name over from one that has ended sees
	// other once, at its first call.
	Announce(ctx context.Context, n *Node) (other bool, err error)
	// Nodes returns the nodes that were seen in the last NodeAge, by name.
	Nodes(ctx context.Context) ([]Node, error)
	// Withdraw forgets a node that ends, unless another process has its name.
	Withdraw(ctx context.Context, n *Node) error
}

// NodeAge is after what time a node that was not seen is forgotten.
const NodeAge = 24 * time.Hour

// Node is what a node says of itself.
type Node struct {
	Name     string
	Instance int64         // random, of the process
	Info     []byte        // a JSON object
	Age      time.Duration // since it was last announced, by the database's clock; set by Nodes
}

// PlanState is the name of the State that holds the Plan.
const PlanState = "cluster/params"

// Plan are the parameters that all nodes follow while they run, beside their
// configuration. The zero Plan changes nothing.
type Plan struct {
	// FlushRows is how many raw rows a worker puts into one transaction at most,
	// instead of pipeline.flush_rows; 0: as configured.
	FlushRows int `json:"flush_rows"`
	// MaxRate is how many events a second a worker reads at most; 0: as many as
	// the controller lets in.
	MaxRate float64 `json:"max_rate"`
	// Pause makes workers read nothing; ingest goes on.
	Pause bool `json:"pause"`
	// Drain names nodes that others are to replace: their workers store what they
	// hold, hand their partitions over and stay idle, and they take no events.
	Drain []string `json:"drain"`
}

// The bounds of a Plan. A record may hold thousands of events and is read whole:
// below the least rate one would stand still for minutes.
const (
	maxFlushRows  = 1 << 20
	leastMaxRate  = 100
	greatestRate  = 1e9
	maxDrained    = 1000
	maxNodeLength = 200
)

// Validate reports every value out of bounds.
func (p *Plan) Validate(v *Violations) {
	if p.FlushRows != 0 {
		Range(v, "flush_rows", p.FlushRows, 1, maxFlushRows)
	}
	if p.MaxRate != 0 {
		Range(v, "max_rate", p.MaxRate, leastMaxRate, greatestRate)
	}
	if len(p.Drain) > maxDrained {
		v.Add("drain", len(p.Drain), "at most 1000 names")
	}
	for _, name := range p.Drain {
		if name == "" || len(name) > maxNodeLength {
			v.Add("drain", name, "names of 1 to 200 bytes")
		}
	}
}
