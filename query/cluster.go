package query

import (
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// The states of a node.
const (
	NodeRunning  = "running"
	NodePaused   = "paused"   // its worker reads nothing, as the plan says
	NodeDraining = "draining" // its worker is about to hand over what it has
	NodeDrained  = "drained"  // it can be stopped, and no event waits for it
	NodeSilent   = "silent"   // it has not announced itself for NodeSilence
)

// NodeSilence is after what time a node that announces itself every two seconds
// counts as silent.
const NodeSilence = 10 * time.Second

// Cluster is what the nodes that share a store, a queue and a meta say of
// themselves, and how far they are.
type Cluster struct {
	Node    string        `json:"node"`    // that answers
	Version int64         `json:"version"` // of the plan; 0: it was never changed
	Plan    millrace.Plan `json:"plan"`

	Nodes      []ClusterNode      `json:"nodes"`      // by name
	Partitions []ClusterPartition `json:"partitions"` // ascending
}

// NodeInfo is what a node announces of itself.
type NodeInfo struct {
	State       string     `json:"state"`
	Roles       []string   `json:"roles"`
	Version     string     `json:"version"`
	URL         string     `json:"url"` // as far as it knows
	Started     time.Time  `json:"started"`
	Plan        int64      `json:"plan_version"` // that it follows
	Partitions  []int32    `json:"partitions"`   // that its worker owns
	Received    Rate       `json:"received"`     // by its worker
	Pace        []NodePace `json:"pace"`         // of its worker's controller
	MemoryBytes int64      `json:"memory_bytes"` // resident
	MemoryLimit int64      `json:"memory_limit"` // the memory setting
	Locks       []string   `json:"locks"`        // what it does alone for all
	Faults      []string   `json:"faults"`
}

// NodePace is the state of the controller of one sink.
type NodePace struct {
	Sink  millrace.Sink `json:"sink"`
	Rate  float64       `json:"rate"`          // events a second that it lets in; 0: no bound
	Error float64       `json:"error"`         // how much more it let in than was stored, events a second
	Delay float64       `json:"delay_seconds"` // how long the newest flush had to wait
}

// ClusterNode is a node as others see it.
type ClusterNode struct {
	Name string  `json:"name"`
	Age  float64 `json:"age_seconds"` // since it was last heard of, by the database's clock
	NodeInfo
}

// ClusterPartition is a partition of the queue and who works on it.
type ClusterPartition struct {
	Partition int32         `json:"partition"`
	Owner     string        `json:"owner"` // a node's name; empty: nobody's
	End       int64         `json:"end"`   // offset of the next record
	Sinks     []ClusterSink `json:"sinks"`
}

// ClusterSink is how far a sink is in one partition.
type ClusterSink struct {
	Sink      millrace.Sink `json:"sink"`
	Committed int64         `json:"committed"`
	Records   int64         `json:"lag_records"`
	Seconds   float64       `json:"lag_seconds"`
}

// PlanChange is what of a plan is to change: what is nil stays.
type PlanChange struct {
	Version   *int64    `json:"version"` // that the author has seen; nil: whichever it is
	FlushRows *int      `json:"flush_rows"`
	MaxRate   *float64  `json:"max_rate"`
	Pause     *bool     `json:"pause"`
	Drain     *[]string `json:"drain"`
}

// Apply returns the plan after the change.
func (c *PlanChange) Apply(p millrace.Plan) millrace.Plan {
	p.Drain = slices.Clone(p.Drain)
	if c.FlushRows != nil {
		p.FlushRows = *c.FlushRows
	}
	if c.MaxRate != nil {
		p.MaxRate = *c.MaxRate
	}
	if c.Pause != nil {
		p.Pause = *c.Pause
	}
	if c.Drain != nil {
		p.Drain = slices.Compact(slices.Sorted(slices.Values(*c.Drain)))
	}
	return p
}

// Assign finds the owner of each partition: the node heard of last of those that
// say so, since one that was paused does not know yet that it lost it. Silent
// nodes own nothing.
func (c *Cluster) Assign() {
	for i := range c.Partitions {
		p, age := &c.Partitions[i], NodeSilence.Seconds()
		p.Owner = ""
		for _, n := range c.Nodes {
			if n.Age < age && slices.Contains(n.Partitions, p.Partition) {
				p.Owner, age = n.Name, n.Age
			}
		}
	}
}

// Lets returns how many events a second the controllers of a node let in; 0: they
// set no bound.
func (n *NodeInfo) Lets() (rate float64) {
	for _, p := range n.Pace {
		if p.Rate > 0 && (rate == 0 || p.Rate < rate) {
			rate = p.Rate
		}
	}
	return rate
}
