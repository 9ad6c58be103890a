package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/queue"
)

func TestShareOfProcessors(t *testing.T) {
	for _, c := range [][3]int{{1, 90, 1}, {2, 90, 2}, {2, 50, 1}, {4, 90, 4}, {8, 90, 7}, {64, 90, 58}, {64, 1, 1}, {1, 1, 1}, {16, 100, 16}} {
		if got := share(c[0], c[1]); got != c[2] {
			t.Errorf("%d%% of %d processors are %d, want %d", c[1], c[0], got, c[2])
		}
	}
}

func TestMachineMemory(t *testing.T) {
	const meminfo = "MemTotal:       16384 kB\nMemFree:        99 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
		of    string
	}{
		"nothing is known":  {nil, 0, ""},
		"no cgroup":         {map[string]string{"/proc/meminfo": meminfo}, 16 << 20, "the machine"},
		"version 2":         {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "8388608\n"}, 8 << 20, "the cgroup"},
		"of a parent":       {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "4194304\n"}, 4 << 20, "the cgroup"},
		"in a container":    {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "4194304\n"}, 4 << 20, "the cgroup"},
		"above the machine": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "99999999999\n"}, 16 << 20, "the machine"},
		"version 1": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
			"/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1048576\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 1 << 20, "the cgroup"},
		"no limit at all": {map[string]string{"/proc/self/cgroup": "4:memory:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, ""},
	} {
		got, of := machineMemory(func(name string) ([]byte, error) {
			text, ok := c.files[name]
			if !ok {
				return nil, os.ErrNotExist
			}
			return []byte(text), nil
		})
		if got != c.want || of != c.of {
			t.Errorf("%s: %d of %q, want %d of %q", name, got, of, c.want, c.of)
		}
	}
}

func TestMemoryGuard(t *testing.T) {
	cfg := config.Default()
	if _, err := newMemoryGuard(cfg); err != nil {
		t.Errorf("the default: %v", err)
	}
	cfg.Memory = 1 << 42
	_, err := newMemoryGuard(cfg)
	if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), "memory: 4TiB: must be at most") || !strings.Contains(err.Error(), "limits.memory (80%)") {
		t.Error(err)
	}
	g := &memoryGuard{limit: 100 << 20, of: "the machine"}
	g.resident.Store(100 << 20)
	if err := g.pressure(); err != nil {
		t.Error(err)
	}
	g.resident.Store(100<<20 + 1)
	if err := g.pressure(); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Error(err)
	}
	g.look()
	if n := g.resident.Load(); n < 1<<20 {
		t.Errorf("%d bytes are resident", n)
	}
}

// TestLagGuard: what is older than the bound and in no sink holds ingest back;
// what Kafka has deleted does not.
func TestLagGuard(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	fresh, low := map[int32]int64{0: 10, 1: 20}, map[int32]int64{}
	at := map[millrace.Sink][]millrace.Position{}
	var fails error
	g := &lagGuard{
		now: func() time.Time { return now },
		offsetsAt: func(_ context.Context, at time.Time) (map[int32]int64, error) {
			if want := now.Add(-time.Hour); !at.Equal(want) {
				t.Errorf("asked for %v, want %v", at, want)
			}
			return fresh, fails
		},
		bounds: func(context.Context) (map[int32]queue.Bounds, error) {
			return map[int32]queue.Bounds{0: {Low: low[0]}, 1: {Low: low[1]}}, nil
		},
		positions: func(context.Context) (map[millrace.Sink][]millrace.Position, error) { return at, nil },
	}
	g.high.Store(int64(time.Hour))
	want := func(what string, behind bool) {
		t.Helper()
		if err := g.look(t.Context()); err != nil && fails == nil {
			t.Error(err)
		}
		if err := g.pressure(); (err != nil) != behind || behind && millrace.ErrorCode(err) != millrace.ErrThrottled {
			t.Errorf("%s: %v, want behind %v", what, err, behind)
		}
	}
	set := func(events0, events1, rollup0, rollup1 int64) {
		at[millrace.SinkEvents] = []millrace.Position{{Partition: 0, Offset: events0}, {Partition: 1, Offset: events1}}
		at[millrace.SinkRollup] = []millrace.Position{{Partition: 0, Offset: rollup0}, {Partition: 1, Offset: rollup1}}
	}
	want("nothing is stored", true)
	fails = errors.New("no broker")
	set(10, 20, 10, 20)
	want("what was seen last stays", true)
	fails = nil
	want("all that is old is stored", false)
	set(10, 20, 11, 19)
	want("one sink is behind in one partition", true)
	low[1] = 20
	want("what is behind was deleted", false)
	low[1] = 0
	g.high.Store(0)
	want("without a bound", false)
}

func TestPlanIsParsed(t *testing.T) {
	plan, err := parsePlan(millrace.State{Version: 3, Value: []byte(`{"pause": true, "of_a_newer_version": 1}`)})
	if err != nil || !plan.Pause || plan.Drain == nil {
		t.Errorf("%+v %v", plan, err)
	}
	for _, bad := range []string{`{"max_rate": 1}`, `[]`, `{`} {
		if _, err := parsePlan(millrace.State{Version: 3, Value: []byte(bad)}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestProbesAreCached: readiness may be asked often.
func TestProbesAreCached(t *testing.T) {
	asked, now, fails := 0, time.Unix(1, 0), errors.New("down")
	p := probe{do: func(context.Context) error { asked++; return fails }}
	for range 5 {
		if err := p.look(t.Context(), func() time.Time { return now }); !errors.Is(err, fails) {
			t.Error(err)
		}
	}
	now = now.Add(probeEvery)
	fails = nil
	if err := p.look(t.Context(), func() time.Time { return now }); err != nil || asked != 2 {
		t.Errorf("%v after %d probes", err, asked)
	}
}

// What is not Go's heap has room beside it.
func TestHeapLimit(t *testing.T) {
	cfg := config.Default()
	if got, want := heapLimit(cfg), int64(cfg.Memory-cfg.Store.Memory)-programMemory; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	cfg.ClickHouse.Address = "clickhouse://localhost"
	if got, want := heapLimit(cfg), int64(cfg.Memory)-programMemory; got != want {
		t.Errorf("with ClickHouse %d bytes, want %d", got, want)
	}
	cfg.Memory = 512 << 20 // the least: an eighth of it
	if got, want := heapLimit(cfg), int64(448<<20); got != want {
		t.Errorf("with little memory %d bytes, want %d", got, want)
	}
}
