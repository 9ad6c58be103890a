package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// clusterCmd shows the nodes and changes the plan that they follow.
type clusterCmd struct {
	remote
	Pause     bool     `help:"Make all workers read nothing; ingest goes on." xor:"pause"`
	Resume    bool     `help:"End a pause." xor:"pause"`
	MaxRate   *float64 `help:"Events a second that each worker reads at most; 0 is no limit." placeholder:"N"`
	FlushRows *int     `help:"Raw rows per transaction at most; 0 is as configured." placeholder:"N"`
	Drain     []string `help:"Make a node hand over what it does and stay idle." placeholder:"NODE"`
	Undrain   []string `help:"Take a drained node back." placeholder:"NODE"`
}

// Run implements the command.
func (c *clusterCmd) Run(e *env) error {
	raw, err := c.ask(e, http.MethodGet, "/api/v1/cluster", nil, nil)
	if err != nil {
		return err
	}
	var cl query.Cluster
	if err := decodeAnswer(raw, &cl); err != nil {
		return err
	}
	if change := c.change(&cl); change != nil {
		body, err := json.Marshal(change)
		if err != nil {
			return err
		}
		if _, err := c.ask(e, http.MethodPost, "/api/v1/cluster", nil, body); err != nil {
			return err
		}
		if raw, err = c.ask(e, http.MethodGet, "/api/v1/cluster", nil, nil); err != nil {
			return err
		}
		cl = query.Cluster{}
		if err := decodeAnswer(raw, &cl); err != nil {
			return err
		}
	}
	if c.JSON {
		return printRaw(e, raw)
	}
	return printCluster(e, &cl)
}

// change returns what the flags ask for, nil for nothing. What they add to the
// list of drained nodes is added to the one that was just read.
func (c *clusterCmd) change(cl *query.Cluster) map[string]any {
	out := map[string]any{}
	if c.Pause || c.Resume {
		out["pause"] = c.Pause
	}
	if c.MaxRate != nil {
		out["max_rate"] = *c.MaxRate
	}
	if c.FlushRows != nil {
		out["flush_rows"] = *c.FlushRows
	}
	if len(c.Drain) > 0 || len(c.Undrain) > 0 {
		drain := slices.DeleteFunc(slices.Concat(cl.Plan.Drain, c.Drain), func(n string) bool { return slices.Contains(c.Undrain, n) })
		out["drain"] = append([]string{}, drain...)
	}
	if len(out) == 0 {
		return nil
	}
	out["version"] = cl.Version
	return out
}

func printCluster(e *env, cl *query.Cluster) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	var nodes, parts [][]string
	for i := range cl.Nodes {
		o := &cl.Nodes[i]
		owned, lets := make([]string, len(o.Partitions)), "-"
		for j, p := range o.Partitions {
			owned[j] = strconv.Itoa(int(p))
		}
		if rate := o.Lets(); rate > 0 {
			lets = strconv.FormatFloat(rate, 'f', 0, 64)
		}
		nodes = append(nodes, []string{
			o.Name, o.State, strings.Join(o.Roles, ","), o.Version, o.URL, strings.Join(owned, " "),
			strconv.FormatFloat(o.Received.Events, 'f', 0, 64), lets, millrace.Bytes(o.MemoryBytes >> 20 << 20).String(),
			strings.Join(o.Locks, ","), seconds(o.Age), strings.Join(o.Faults, "; "),
		})
	}
	err := printTable(e.stdout, []string{"node", "state", "roles", "version", "url", "partitions", "events/s", "lets in", "memory", "locks", "seen", "faults"},
		nodes, []bool{false, false, false, false, false, false, true, true, true, false, true})
	if err != nil {
		return err
	}
	for _, p := range cl.Partitions {
		for _, s := range p.Sinks {
			parts = append(parts, []string{n(int64(p.Partition)), p.Owner, string(s.Sink), n(s.Committed), n(p.End), n(s.Records), seconds(s.Seconds)})
		}
	}
	if _, err := fmt.Fprintln(e.stdout); err != nil {
		return err
	}
	err = printTable(e.stdout, []string{"partition", "owner", "sink", "committed", "end", "lag", "age"}, parts, []bool{true, false, false, true, true, true, true})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "\nplan, version %d: flush_rows %d, max_rate %g, pause %v, drain [%s]\n",
		cl.Version, cl.Plan.FlushRows, cl.Plan.MaxRate, cl.Plan.Pause, strings.Join(cl.Plan.Drain, ", "))
	return err
}

// seconds prints an age to a tenth of a second.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}
