package config

import (
	"fmt"
	"os"
	"slices"

	"github.com/millrace/millrace"
)

// The roles of a node.
const (
	RoleIngest = "ingest" // takes events and appends them to the queue
	RoleWorker = "worker" // decodes, rolls up and stores its share of the partitions
	RoleQuery  = "query"  // answers questions, shows pages
)

// allRoles is what a node does unless it is told.
var allRoles = []string{RoleIngest, RoleWorker, RoleQuery}

// Nodes says what this process is among others.
type Nodes struct {
	Name  string   `yaml:"name" default:"" doc:"Name of this node, unique among those that share the work; empty is the host's name." example:"worker-1"`
	Roles []string `yaml:"roles" default:"" doc:"What this node does: ingest, worker, query. Empty is all. Roles on different nodes need an Apache Kafka, a ClickHouse and a PostgreSQL that all nodes reach." example:"worker,query"`
	Group string   `yaml:"group" default:"millrace" doc:"Consumer group in which the workers share the partitions out." example:"millrace-eu"`
}

// Meta says where keys, rules and positions are.
type Meta struct {
	Address string `yaml:"address" secret:"true" default:"" doc:"Where PostgreSQL is: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with the parameters of libpq, such as sslmode=verify-full. Empty keeps all in a file of the data directory. Standbys must be synchronous: what a server has confirmed must not be forgotten." example:"postgres://millrace:secret@pg-1:5432,pg-2:5432/millrace?sslmode=verify-full"`
}

func (n *Nodes) validate(path string, v *millrace.Violations) {
	for _, r := range n.Roles {
		if !slices.Contains(allRoles, r) {
			v.Add(path+".roles", r, "ingest, worker or query")
		}
	}
	if len(n.Name) > 200 {
		v.Add(path+".name", n.Name, "at most 200 bytes")
	}
	if n.Group == "" || len(n.Group) > 200 {
		v.Add(path+".group", fmt.Sprintf("%q", n.Group), "1 to 200 bytes")
	}
}

// Has reports whether the node has a role.
func (n *Nodes) Has(role string) bool { return len(n.Roles) == 0 || slices.Contains(n.Roles, role) }

// Hostname is the node's name, that of the host if it was given none.
func (n *Nodes) Hostname() string {
	if n.Name != "" {
		return n.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "millrace"
	}
	return name
}

// Shared reports whether the store is one that several nodes can share.
func (c *Config) Shared() bool { return c.ClickHouse.Address != "" }

// validateCluster reports combinations that would lose or count twice: nodes
// share the work only if they share all three, the queue, the store and what
// keeps positions.
func (c *Config) validateCluster(v *millrace.Violations) {
	c.Node.validate("node", v)
	kafka, postgres := len(c.Queue.Broker) > 0, c.Meta.Address != ""
	add := func(path, format string, args ...any) {
		v.Append(&millrace.Violation{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	for _, r := range allRoles {
		if c.Node.Has(r) || kafka && c.Shared() && postgres {
			continue
		}
		add("node.roles", "a node without the role %s leaves it to others, which needs queue.broker, clickhouse.address and meta.address", r)
		break
	}
	if c.Shared() && kafka && !postgres {
		add("meta.address", "is needed with queue.broker and clickhouse.address: several nodes must agree on positions")
	}
	if postgres && !c.Shared() {
		add("clickhouse.address", "is needed with meta.address: a DuckDB belongs to one node")
	}
}
