package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace"
)

// groupTestOptions are those of a group that notices everything soon.
func groupTestOptions() Options {
	o := testOptions()
	o.Partitions = 6
	o.Group.Session = millrace.Duration(2 * time.Second)
	o.Group.Heartbeat = millrace.Duration(100 * time.Millisecond)
	o.Group.Rebalance = millrace.Duration(5 * time.Second)
	return o
}

// diary is a MemberHandler that writes down its calls. registry, shared by the
// members of a group, checks that no partition has two owners.
type diary struct {
	t        testing.TB
	name     string
	registry *registry
	revoking func(ctx context.Context) // what Revoking does before it returns

	mu    sync.Mutex
	calls []string
	owned []int32
}

type registry struct {
	mu    sync.Mutex
	owner map[int32]string
}

// set moves ownership as of one call of a handler.
func (d *diary) set(call string, all []int32) {
	d.registry.mu.Lock()
	defer d.registry.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.IsSorted(all) {
		d.t.Errorf("%s: %s %v is not ascending", d.name, call, all)
	}
	for _, p := range d.owned {
		if !slices.Contains(all, p) {
			delete(d.registry.owner, p)
		}
	}
	for _, p := range all {
		if o := d.registry.owner[p]; o != "" && o != d.name {
			d.t.Errorf("%s: %s %v, but %s has partition %d", d.name, call, all, o, p)
		}
		d.registry.owner[p] = d.name
	}
	d.owned = all
	d.calls = append(d.calls, fmt.Sprint(call, all))
}

func (d *diary) Assigned(_ context.Context, all []int32) { d.set("assigned", all) }

func (d *diary) Revoking(ctx context.Context, left []int32) {
	if d.revoking != nil {
		d.revoking(ctx)
	}
	d.set("revoking", left)
}

func (d *diary) Lost(_ context.Context, left []int32) { d.set("lost", left) }

func (d *diary) have() []int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.owned)
}

func (d *diary) wrote(call string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.calls, call)
}

func join(t testing.TB, q *Queue, r *registry, name string) (*Member, *diary) {
	t.Helper()
	d := &diary{t: t, name: name, registry: r}
	m, err := q.Join(t.Context(), "workers", d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(t, m) })
	return m, d
}

func leave(t testing.TB, m *Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// divided reports whether the members have n partitions, none of them more than
// one above another.
func divided(n int, members ...*diary) bool {
	var all []int32
	least, most := n, 0
	for _, d := range members {
		have := d.have()
		all = append(all, have...)
		least, most = min(least, len(have)), max(most, len(have))
	}
	return len(all) == n && most-least <= 1
}

func TestMembersDivideThePartitions(t *testing.T) {
	t.Parallel()
	q := openQueue(t, groupTestOptions(), t.TempDir())
	r := &registry{owner: map[int32]string{}}
	m1, d1 := join(t, q, r, "one")
	eventually(t, "one has all", func() bool { return len(d1.have()) == 6 })
	if got := m1.Owned(); !slices.Equal(got, []int32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("owned %v", got)
	}
	m2, d2 := join(t, q, r, "two")
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
	_, d3 := join(t, q, r, "three")
	eventually(t, "three share", func() bool { return divided(6, d1, d2, d3) })

	leave(t, m2)
	if have := d2.have(); len(have) != 0 || !d2.wrote("revoking[]") {
		t.Errorf("after Close: %v, calls %v", have, d2.calls)
	}
	began := time.Now()
	eventually(t, "the others have its partitions", func() bool { return divided(6, d1, d3) })
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("hand-over took %v, as long as a session", took)
	}
	if err := m1.Healthy(); err != nil {
		t.Error(err)
	}
	leave(t, m2) // again
}

func TestMoreMembersThanPartitions(t *testing.T) {
	t.Parallel()
	opts := groupTestOptions()
	opts.Partitions = 1
	q := openQueue(t, opts, t.TempDir())
	r := &registry{owner: map[int32]string{}}
	m1, d1 := join(t, q, r, "one")
	eventually(t, "one has it", func() bool { return len(d1.have()) == 1 })
	_, d2 := join(t, q, r, "two")
	eventually(t, "two knows that it has none", func() bool { return d2.wrote("assigned[]") })
	leave(t, m1)
	eventually(t, "two takes over", func() bool { return len(d2.have()) == 1 })
}

// TestRevokingHoldsPartitions checks that nobody gets a partition before its
// owner has given it up, however long that takes.
func TestRevokingHoldsPartitions(t *testing.T) {
	t.Parallel()
	q := openQueue(t, groupTestOptions(), t.TempDir())
	r := &registry{owner: map[int32]string{}}
	_, d1 := join(t, q, r, "one")
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d1.revoking = func(ctx context.Context) {
		once.Do(func() { close(entered) })
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("Revoking without a deadline")
		}
		<-release
	}
	eventually(t, "one has all", func() bool { return len(d1.have()) == 6 })
	_, d2 := join(t, q, r, "two")
	<-entered
	time.Sleep(time.Second) // half a session, many heartbeats
	if have := d2.have(); len(have) != 0 {
		t.Errorf("two has %v while one gives up", have)
	}
	close(release)
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
}

// TestMemberIsThrownOut checks Lost, and that the member comes back by itself.
func TestMemberIsThrownOut(t *testing.T) {
	t.Parallel()
	q := openQueue(t, groupTestOptions(), t.TempDir())
	r := &registry{owner: map[int32]string{}}
	m, d := join(t, q, r, "one")
	eventually(t, "it has all", func() bool { return len(d.have()) == 6 })
	q.cluster.ControlKey(int16(kmsg.Heartbeat), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		resp := kreq.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
	eventually(t, "it has lost all", func() bool { return d.wrote("lost[]") })
	eventually(t, "it is back", func() bool { return len(d.have()) == 6 })
	eventually(t, "it is well", func() bool { return m.Healthy() == nil })
}

// TestDeadMember checks that the partitions of a member that is gone without a
// word move when its session ends.
func TestDeadMember(t *testing.T) {
	t.Parallel()
	opts := groupTestOptions()
	opts.Group.Session = millrace.Duration(time.Second)
	q := openQueue(t, opts, t.TempDir())
	r := &registry{owner: map[int32]string{}}
	m1, d1 := join(t, q, r, "one")
	eventually(t, "one has all", func() bool { return len(d1.have()) == 6 })
	_, d2 := join(t, q, r, "two")
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
	// Its heartbeats do not reach the broker any more.
	gone, _ := m1.client.GroupMetadata()
	q.cluster.ControlKey(int16(kmsg.Heartbeat), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		q.cluster.KeepControl()
		if req := kreq.(*kmsg.HeartbeatRequest); req.MemberID != gone {
			return nil, nil, false
		}
		return kreq.ResponseKind(), nil, true // the lost answer of a proxy
	})
	d1.mu.Lock()
	mine := d1.owned
	d1.mu.Unlock()
	r.mu.Lock()
	for _, p := range mine {
		delete(r.owner, p) // it believes so; nobody else does
	}
	r.mu.Unlock()
	eventually(t, "two has all", func() bool { return len(d2.have()) == 6 })
}

func TestNewPartitionsAreNoticed(t *testing.T) {
	t.Parallel()
	q := openQueue(t, groupTestOptions(), t.TempDir())
	r := &registry{owner: map[int32]string{}}
	_, d1 := join(t, q, r, "one")
	_, d2 := join(t, q, r, "two")
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
	if _, err := q.admin.UpdatePartitions(t.Context(), 9, q.opts.Topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two share more", func() bool { return divided(9, d1, d2) })
	c, err := q.Consumer(map[int32]int64{8: 0}) // can be read, too
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestMemberCommits(t *testing.T) {
	t.Parallel()
	q := openQueue(t, groupTestOptions(), t.TempDir())
	r := &registry{owner: map[int32]string{}}
	m, d := join(t, q, r, "one")
	if err := m.Commit(t.Context(), []millrace.Position{{Partition: 77, Offset: 7}}); err != nil {
		t.Errorf("owner of nothing: %v", err)
	}
	eventually(t, "it has all", func() bool { return len(d.have()) == 6 })
	err := m.Commit(t.Context(), []millrace.Position{{Partition: 2, Offset: 40, Ordinal: 3}, {Partition: 77, Offset: 1}})
	if err != nil {
		t.Fatal(err)
	}
	offsets, err := kadm.NewClient(q.client).FetchOffsets(t.Context(), "workers")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { got[o.Partition] = o.At })
	if len(got) != 1 || got[2] != 40 {
		t.Errorf("committed %v", got)
	}
}

// TestNamedMemberComesBack checks that a node with a name that was killed has its
// partitions again without waiting for a session, and that Close hands over.
func TestNamedMemberComesBack(t *testing.T) {
	t.Parallel()
	opts := groupTestOptions()
	opts.Group.Session = millrace.Duration(30 * time.Second)
	base := openQueue(t, opts, t.TempDir())
	named := func(name string) *Queue {
		o := opts
		o.Broker, o.Group.Instance = base.Addrs(), name
		return openQueue(t, o, "")
	}
	r := &registry{owner: map[int32]string{}}
	_, d1 := join(t, named("node-1"), r, "one")
	q2 := named("node-2")
	m2, d2 := join(t, q2, r, "two")
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
	before := d2.have()
	m2.client.Close() // as good as a kill: a named member does not leave
	m2.closed = true
	_, again := join(t, q2, r, "two")
	eventually(t, "it is back", func() bool { return slices.Equal(again.have(), before) })

	m3, err := q2.Join(t.Context(), "workers", &diary{t: t, name: "two", registry: r})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back once more", func() bool { return slices.Equal(m3.Owned(), before) })
	leave(t, m3)
	eventually(t, "the other has all", func() bool { return len(d1.have()) == 6 })
}

// TestCloseDoesNotWaitForTheBroker checks that a node can stop when the broker
// does not answer, and that a handler that works is told to end.
func TestCloseDoesNotWaitForTheBroker(t *testing.T) {
	t.Parallel()
	broker := openQueue(t, groupTestOptions(), t.TempDir())
	opts := groupTestOptions()
	opts.Broker = broker.Addrs()
	q := openQueue(t, opts, "")
	d := &diary{t: t, name: "one", registry: &registry{owner: map[int32]string{}}}
	d.revoking = func(ctx context.Context) { <-ctx.Done() }
	m, err := q.Join(t.Context(), "workers", d)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has all", func() bool { return len(d.have()) == 6 })
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = m.Close(ctx)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("close took %v", took)
	}
	if c := millrace.ErrorCode(err); c != millrace.ErrTimeout && c != millrace.ErrUnavailable {
		t.Errorf("close: %v", err)
	}
	if have := d.have(); len(have) != 0 {
		t.Errorf("still owns %v", have)
	}
}
