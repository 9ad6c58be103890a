package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/query"
)

// nodesPanel lists the nodes; nil while there is one only.
func (s *Server) nodesPanel(v *view) *panel {
	if s.Cluster == nil {
		return nil
	}
	p := &panel{Title: "Nodes", About: "Processes that share the queue, the store and the positions", Wide: "12"}
	c, err := s.Cluster.Cluster(v.ctx)
	if err != nil {
		p.failed(err)
		return p
	}
	if len(c.Nodes) < 2 {
		return nil
	}
	if orders := planText(c); orders != "" {
		p.About += ". The plan: " + orders
	}
	p.Table = &table{Head: []header{
		{Label: "Node"},
		{Label: "State"},
		{Label: "Roles"},
		{Label: "Version"},
		{Label: "Partitions", About: "That its worker owns"},
		{Label: "Events/s", Numeric: true},
		{Label: "Lets in", Numeric: true, About: "Events a second that its controller allows; a dash: no bound"},
		{Label: "Memory", Numeric: true},
		{Label: "Up", Numeric: true},
		{Label: "Seen", Numeric: true},
	}}
	for i := range c.Nodes {
		p.Table.Rows = append(p.Table.Rows, nodeRow(v, &c.Nodes[i], c.Version))
	}
	return p
}

func nodeRow(v *view, n *query.ClusterNode, version int64) row {
	silent := n.State == query.NodeSilent
	name := cell{Text: n.Name, Title: n.URL, Bad: silent || len(n.Faults) > 0, Sub: strings.Join(n.Faults, "; ")}
	if len(n.Locks) > 0 && name.Sub == "" {
		name.Sub = "does for all: " + strings.Join(n.Locks, ", ")
	}
	state := cell{Text: n.State, Bad: silent}
	if n.Plan != version && !silent {
		state.Sub = fmt.Sprintf("follows version %d of the plan", n.Plan)
	}
	owned := make([]string, len(n.Partitions))
	for i, part := range n.Partitions {
		owned[i] = strconv.Itoa(int(part))
	}
	up, lets := v.Now.Sub(n.Started), none
	if rate := n.Lets(); rate > 0 {
		lets = formatShort(rate) + "/s"
	}
	return row{Bad: silent, Cells: []cell{
		name, state, text(strings.Join(n.Roles, ", ")), text(n.Version),
		{Text: strings.Join(owned, " "), Dim: silent},
		text(formatShort(n.Received.Events)), text(lets), text(formatBytes(n.MemoryBytes)),
		text(formatAge(up)),
		{Text: formatAge(time.Duration(n.Age * float64(time.Second))), Bad: silent},
	}}
}

// planText says what the plan changes, "" if nothing.
func planText(c *query.Cluster) string {
	var out []string
	if c.Plan.Pause {
		out = append(out, "workers are paused")
	}
	if n := c.Plan.MaxRate; n > 0 {
		out = append(out, "at most "+formatShort(n)+" events/s per worker")
	}
	if n := c.Plan.FlushRows; n > 0 {
		out = append(out, "at most "+formatCount(int64(n))+" rows per transaction")
	}
	if len(c.Plan.Drain) > 0 {
		out = append(out, "drained: "+strings.Join(c.Plan.Drain, ", "))
	}
	return strings.Join(out, "; ")
}
