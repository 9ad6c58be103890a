package metatest

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

// model is what Commits means, without a database: the oracle of randomOperations.
type model struct {
	flushes   map[int64]*modelFlush
	newest    int64
	positions map[millrace.Sink]map[int32]millrace.Position
	clients   map[string]millrace.ClientWindow // of the events sink
	states    map[string]millrace.State
}

type modelFlush struct {
	sink       millrace.Sink
	partitions []int32
	state      string // open, committed, abandoned, hidden
}

func (o *model) commit(id int64, c *millrace.Commit) millrace.Code {
	f := o.flushes[id]
	if f == nil || f.state != "open" {
		return millrace.ErrConflict
	}
	for _, p := range c.Positions {
		if f.sink != c.Sink || !slices.Contains(f.partitions, p.Partition) {
			return millrace.ErrInvalid
		}
	}
	stored := slices.Collect(maps.Values(o.positions[c.Sink]))
	if c.CheckFrom(stored) != nil {
		return millrace.ErrConflict
	}
	for _, p := range c.Positions {
		o.positions[c.Sink][p.Partition] = p
	}
	for _, w := range c.Clients {
		o.clients[string(c.Sink)+w.Client] = w
	}
	f.state = "committed"
	return ""
}

func (o *model) claim(sink millrace.Sink, partitions []int32) {
	for _, f := range o.flushes {
		if f.state == "open" && f.sink == sink && slices.ContainsFunc(f.partitions, func(p int32) bool { return slices.Contains(partitions, p) }) {
			f.state = "abandoned"
		}
	}
}

func (o *model) abandon(ids []int64) (code millrace.Code) {
	for _, id := range ids {
		switch f := o.flushes[id]; f.state {
		case "open":
			f.state = "abandoned"
		case "committed":
			code = millrace.ErrConflict
		}
	}
	return code
}

func (o *model) settle(id int64, s millrace.State) millrace.Code {
	f := o.flushes[id]
	if f.state != "open" || o.states[s.Name].Version != s.Version {
		return millrace.ErrConflict
	}
	f.state = "committed"
	s.Version++
	o.states[s.Name] = s
	return ""
}

func (o *model) in(state string) (ids []int64) {
	for id, f := range o.flushes {
		if f.state == state {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// randomOperations does the same to a database and to the model, and compares.
func randomOperations(t *testing.T, ctx context.Context, m millrace.Commits) {
	const seed, operations = 11, 400
	rnd := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // tests repeat
	sinks := []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup}
	o := &model{
		flushes: map[int64]*modelFlush{}, clients: map[string]millrace.ClientWindow{}, states: map[string]millrace.State{},
		positions: map[millrace.Sink]map[int32]millrace.Position{sinks[0]: {}, sinks[1]: {}},
	}
	var ids []int64
	for i := range operations {
		if len(ids) == 0 || rnd.IntN(3) == 0 {
			f := &modelFlush{sinks[rnd.IntN(2)], somePartitions(rnd), "open"}
			id := mustBegin(t, m, f.sink, f.partitions...)
			ids, o.flushes[id], o.newest = append(ids, id), f, id
			continue
		}
		// Mostly recent flushes, so that most are open.
		pick := func() int64 { return ids[max(0, len(ids)-1-rnd.IntN(8))] }
		var got error
		var want millrace.Code
		switch op := rnd.IntN(10); {
		case op < 5:
			id := pick()
			c := o.randomCommit(rnd, id, int64(i))
			got, want = m.Commit(ctx, id, c), o.commit(id, c)
		case op == 5:
			sink, partitions := sinks[rnd.IntN(2)], somePartitions(rnd)[:1]
			got = m.Claim(ctx, sink, partitions)
			o.claim(sink, partitions)
		case op < 8:
			list := []int64{pick(), pick()}
			got, want = m.Abandon(ctx, list...), o.abandon(list)
		case op == 8:
			s := millrace.State{Name: string(rune('a' + rnd.IntN(3))), Value: []byte{byte(i)}}
			s.Version = max(0, o.states[s.Name].Version-int64(rnd.IntN(2)))
			id := pick()
			got, want = m.Settle(ctx, id, s), o.settle(id, s)
		default:
			if list := o.in("abandoned"); len(list) > 0 {
				got = m.Hidden(ctx, list[0])
				o.flushes[list[0]].state = "hidden"
			}
		}
		if millrace.ErrorCode(got) != want {
			t.Fatalf("operation %d: %v, want %q", i, got, want)
		}
		if i%20 == 0 {
			o.compare(t, ctx, m)
		}
	}
	o.compare(t, ctx, m)
}

func somePartitions(rnd *rand.Rand) []int32 {
	out := []int32{}
	for _, p := range rnd.Perm(4)[:1+rnd.IntN(3)] {
		out = append(out, int32(p))
	}
	return out
}

// randomCommit is mostly right: from what is stored, and for the flush's
// partitions.
func (o *model) randomCommit(rnd *rand.Rand, id, n int64) *millrace.Commit {
	f := o.flushes[id]
	c := &millrace.Commit{Sink: f.sink}
	for _, p := range f.partitions {
		from, ok := o.positions[f.sink][p]
		if !ok {
			from = millrace.Position{Partition: p}
		}
		if rnd.IntN(12) == 0 {
			from.Offset++
		}
		c.From = append(c.From, from)
		if rnd.IntN(3) > 0 {
			c.Positions = append(c.Positions, At(p, from.Offset+1+rnd.Int64N(5)))
		}
	}
	if rnd.IntN(15) == 0 {
		c.Positions = append(c.Positions, At(7, 1))
	}
	for range rnd.IntN(3) {
		c.Clients = append(c.Clients, millrace.ClientWindow{
			Client: string(rune('a' + rnd.IntN(5))), Updated: 1_900_000_000e9 + n, State: []byte{byte(n)},
		})
	}
	return c
}

func (o *model) compare(t *testing.T, ctx context.Context, m millrace.Commits) {
	t.Helper()
	wantAbandoned(t, m, o.in("abandoned")...)
	c, err := m.Cut(ctx)
	check(t, err)
	if c.Newest != o.newest || !slices.Equal(openIDs(t, m), o.in("open")) {
		t.Fatalf("cut %+v, want newest %d, open %v", c, o.newest, o.in("open"))
	}
	for sink, byPartition := range o.positions {
		want := slices.SortedFunc(maps.Values(byPartition), func(a, b millrace.Position) int { return int(a.Partition - b.Partition) })
		wantPositions(t, m, sink, want...)
		if !slices.Equal(c.Positions[sink], want) {
			t.Fatalf("cut has %+v of %s, want %+v", c.Positions[sink], sink, want)
		}
		for _, w := range loaded(t, m, sink).Clients {
			if !reflect.DeepEqual(o.clients[string(sink)+w.Client], w) {
				t.Fatalf("client %+v, want %+v", w, o.clients[string(sink)+w.Client])
			}
		}
	}
	for _, s := range o.states {
		wantState(t, m, s)
	}
}
