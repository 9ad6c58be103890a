package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// followEvery is how often a node looks whether the plan was changed.
const followEvery = 500 * time.Millisecond

// followTimeout bounds how long that may take.
const followTimeout = 2 * time.Second

// follow keeps to the plan until ctx ends. While the database does not answer the
// plan stays as it was.
func (n *node) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := n.look(ctx)
		if ctx.Err() == nil {
			n.fault("follow plan", err)
		}
	}
}

// look reads the plan and keeps to it from now on.
func (n *node) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	st, err := n.s.meta.State(ctx, millrace.PlanState)
	if err != nil {
		return err
	}
	return n.obey(st)
}

// obey takes over a plan that is stored, unless it is older than what the node
// follows: look and Change may overtake each other.
func (n *node) obey(st millrace.State) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if st.Version <= n.version {
		return nil
	}
	plan, err := parsePlan(st)
	if err != nil {
		return err
	}
	before := n.drained()
	n.plan, n.version = plan, st.Version
	n.s.pipeline.Follow(&plan, n.drained())
	n.s.log.Info("plan", "version", st.Version, "flush_rows", plan.FlushRows, "max_rate", plan.MaxRate, "pause", plan.Pause, "drain", plan.Drain)
	if n.drained() != before {
		n.s.log.Info("this node is drained or taken back", "drained", n.drained())
	}
	return nil
}

// parsePlan reads a stored plan. Fields that a newer version has added are left
// alone; a value out of bounds is refused, and the node keeps to the plan before.
func parsePlan(st millrace.State) (millrace.Plan, error) {
	plan := millrace.Plan{Drain: []string{}}
	if st.Version == 0 || len(st.Value) == 0 {
		return plan, nil
	}
	if err := json.Unmarshal(st.Value, &plan); err != nil {
		return plan, millrace.Errorf(millrace.ErrCorrupt, "version %d of the plan cannot be read: %v", st.Version, err)
	}
	if plan.Drain == nil {
		plan.Drain = []string{}
	}
	var v millrace.Violations
	plan.Validate(&v)
	return plan, v.Err()
}

// current returns the plan that this node follows.
func (n *node) current() (millrace.Plan, int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.plan, n.version
}

// changeTries bounds how often a change without a version begins again because
// others change the plan at the same time.
const changeTries = 10

// Change implements web.Cluster.
func (n *node) Change(ctx context.Context, c query.PlanChange) (millrace.Plan, int64, error) {
	for try := 1; ; try++ {
		st, plan, err := n.changed(ctx, &c)
		if err == nil {
			err = n.s.meta.SetState(ctx, st)
		}
		if millrace.ErrorCode(err) == millrace.ErrConflict && c.Version == nil && try < changeTries {
			continue
		}
		if err != nil {
			return millrace.Plan{}, 0, err
		}
		st.Version++
		if err := n.obey(st); err != nil {
			return millrace.Plan{}, 0, err
		}
		return plan, st.Version, nil
	}
}

// changed returns the state to store: fields of a newer version's plan stay.
func (n *node) changed(ctx context.Context, c *query.PlanChange) (millrace.State, millrace.Plan, error) {
	st, err := n.s.meta.State(ctx, millrace.PlanState)
	if err != nil {
		return st, millrace.Plan{}, err
	}
	if c.Version != nil && *c.Version != st.Version {
		return st, millrace.Plan{}, millrace.Errorf(millrace.ErrConflict, "the plan was changed meanwhile: it has version %d, not %d", st.Version, *c.Version)
	}
	old, err := parsePlan(st)
	if err != nil {
		return st, old, err
	}
	plan := c.Apply(old)
	var v millrace.Violations
	if plan.Validate(&v); v.Err() != nil {
		return st, plan, v.Err()
	}
	if err := n.known(ctx, &plan, &old); err != nil {
		return st, plan, err
	}
	fields := map[string]any{}
	if len(st.Value) > 0 {
		if err := json.Unmarshal(st.Value, &fields); err != nil {
			return st, plan, fmt.Errorf("plan: %w", err)
		}
	}
	text, err := json.Marshal(plan)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err == nil {
		st.Value, err = json.Marshal(fields)
	}
	return st, plan, err
}

// known refuses names of nodes that nobody has heard of for a day: a mistyped one
// would drain nothing, silently.
func (n *node) known(ctx context.Context, plan, old *millrace.Plan) error {
	nodes, err := n.s.meta.Nodes(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range nodes {
		names = append(names, m.Name)
	}
	for _, name := range plan.Drain {
		if !slices.Contains(names, name) && !slices.Contains(old.Drain, name) {
			return millrace.Errorf(millrace.ErrInvalid, "drain: there is no node %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}
