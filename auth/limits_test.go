package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
	"github.com/millrace/millrace/meta"
)

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func openMeta(t testing.TB) millrace.Meta {
	t.Helper()
	m, err := meta.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func limited(id string, l millrace.KeyLimits) *Principal {
	return &Principal{&millrace.Key{ID: id, Limits: l}}
}

// noon is far from the end of a day, UTC.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// admit asks for n events and checks what an error says.
func admit(t *testing.T, l *Limits, p *Principal, n int, bytes int64, reason string) time.Duration {
	t.Helper()
	err := l.Admit(p, n, bytes)
	if reason == "" {
		if err != nil {
			t.Errorf("%d events, %d bytes: %v", n, bytes, err)
		}
		return 0
	}
	var wait *problem.Throttled
	if millrace.ErrorCode(err) != millrace.ErrThrottled || ReasonOf(err) != reason || !errors.As(err, &wait) || wait.After <= 0 {
		t.Errorf("%d events, %d bytes: %v, reason %q, want %q", n, bytes, err, ReasonOf(err), reason)
		return 0
	}
	return wait.After
}

// A key gets its burst and then its rate, against a bucket of tokens counted in
// billionths.
func TestRateAgainstOracle(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		rates := []int64{1, 2, 5, 100, 1000, 50_000, 1_000_000}
		rate := rates[r.IntN(len(rates))]
		burst := int64(0)
		if r.IntN(2) == 0 {
			burst = 1 + r.Int64N(20*rate)
		}
		full := burst
		if full == 0 {
			full = defaultBurst * rate
		}
		c := &clock{at: noon}
		l := NewLimits(nil, c.now)
		p := limited("k", millrace.KeyLimits{EventRate: rate, EventBurst: burst})
		const unit = int64(time.Second)
		level, taken, largest := full*unit, int64(0), int64(0)
		for range 400 {
			d := time.Duration(r.Int64N(int64(2 * time.Second)))
			c.pass(d)
			level = min(full*unit, level+int64(d)*rate)
			n := 1 + r.Int64N(2*full)
			err := l.Admit(p, int(n), n)
			if (err == nil) != (level > 0) {
				t.Fatalf("seed %d: rate %d, burst %d: %d events at level %d/%d: %v", seed, rate, burst, n, level, unit, err)
			}
			if err != nil {
				after := admit(t, l, p, 1, 1, "event_rate")
				if want := time.Duration(-level / rate); after < want-1 || after > want+2 {
					t.Fatalf("seed %d: wait %v, want %v", seed, after, want)
				}
				continue
			}
			level -= n * unit
			taken += n
			largest = max(largest, n)
		}
		if most := full + int64(c.now().Sub(noon).Seconds()*float64(rate)) + 1 + largest; taken > most {
			t.Errorf("seed %d: %d taken, at most %d", seed, taken, most)
		}
	}
}

func TestLimitsTogether(t *testing.T) {
	c := &clock{at: noon}
	l := NewLimits(openMeta(t), c.now)
	p := limited("k", millrace.KeyLimits{EventRate: 10, EventBurst: 20, ByteRate: 1000, ByteBurst: 4000, DayEvents: 100, DayBytes: 20_000})
	admit(t, l, p, 15, 100, "")
	admit(t, l, p, 0, 0, "") // asks only
	admit(t, l, p, 15, 100, "")
	if wait := admit(t, l, p, 1, 1, "event_rate"); wait != time.Second+1 {
		t.Errorf("wait %v", wait)
	}
	admit(t, l, p, 0, 0, "event_rate")
	c.pass(2 * time.Second)
	admit(t, l, p, 1, 9000, "")
	admit(t, l, p, 1, 1, "byte_rate")
	c.pass(time.Hour)
	if wait := admit(t, l, p, 70, 1, "event_quota"); wait != 11*time.Hour-2*time.Second {
		t.Errorf("wait %v until midnight", wait)
	}
	admit(t, l, p, 69, 1, "")
	c.pass(time.Minute)
	admit(t, l, p, 0, 0, "event_quota")
	l.Refund(p, 69, 1)
	admit(t, l, p, 60, 1, "")
	l.Refund(p, 60, 1)
	admit(t, l, p, 1, 15_000, "byte_quota")
	p.Key.Limits = millrace.KeyLimits{DayEvents: 1000} // changed meanwhile
	admit(t, l, p, 900, 1<<30, "")
	c.pass(11 * time.Hour)
	admit(t, l, p, 1000, 1, "") // another day
	admit(t, l, p, 1, 1, "event_quota")
	admit(t, l, limited("free", millrace.KeyLimits{}), 1<<30, 1<<50, "")
	admit(t, l, &Principal{}, 1<<30, 1<<50, "")
	admit(t, l, nil, 1<<30, 1<<50, "")
}

// Nodes share a quota through meta; one that is killed forgets what it did not
// write, one that is stopped nothing.
func TestQuotaOfManyNodes(t *testing.T) {
	m, c := openMeta(t), &clock{at: noon}
	a, b := NewLimits(m, c.now), NewLimits(m, c.now)
	sync := func(list ...*Limits) {
		t.Helper()
		for _, l := range list {
			if err := l.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := limited("k", millrace.KeyLimits{DayEvents: 100})
	admit(t, a, p, 40, 1, "")
	admit(t, b, p, 40, 1, "")
	sync(a, b, a)
	admit(t, a, p, 21, 1, "event_quota")
	admit(t, b, p, 21, 1, "event_quota")
	admit(t, b, p, 5, 1, "")
	sync(b, b) // twice does not count twice
	admit(t, b, p, 5, 1, "")
	// b is killed: its last 5 are not known.
	killed := NewLimits(m, c.now)
	sync(a, killed)
	admit(t, killed, p, 16, 1, "event_quota")
	admit(t, killed, p, 15, 1, "")
	// killed is stopped.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { killed.Run(ctx, nil, slog.New(slog.NewTextHandler(io.Discard, nil))); close(done) }()
	stop()
	<-done
	next := NewLimits(m, c.now)
	sync(next, a)
	admit(t, next, p, 1, 1, "event_quota")
	admit(t, a, p, 0, 0, "event_quota")
	c.pass(24 * time.Hour)
	admit(t, a, p, 100, 1, "")
	sync(a)
	admit(t, a, p, 1, 1, "event_quota")
}

// offMeta fails while it is off.
type offMeta struct {
	millrace.Meta
	off bool
}

func (m *offMeta) SetUsage(ctx context.Context, writer, seq int64, rows []millrace.KeyUsage) error {
	if m.off {
		return millrace.Errorf(millrace.ErrUnavailable, "off")
	}
	return m.Meta.SetUsage(ctx, writer, seq, rows)
}

// Usage is what was taken and refused, whatever happens on the way, and is
// forgotten here once it is written and over.
func TestUsage(t *testing.T) {
	m, c := &offMeta{Meta: openMeta(t)}, &clock{at: noon}
	l := NewLimits(m, c.now)
	r := rand.New(rand.NewPCG(1, 2))
	want := map[millrace.KeyUsage]millrace.KeyUsage{} // by what is no number
	add := func(key, reason string, requests, events, bytes int64) {
		id := millrace.KeyUsage{Key: key, Day: millrace.UnixDay(c.now()), Reason: reason}
		u := want[id]
		u.Requests += requests
		u.Events += events
		u.Bytes += bytes
		want[id] = u
	}
	for i := range 3000 {
		key, n := fmt.Sprint("k", r.IntN(20)), 1+r.IntN(10)
		switch r.IntN(10) {
		case 0:
			l.Refused(key, "event_quota", 1, int64(n), 7)
			add(key, "event_quota", 1, int64(n), 7)
		case 1:
			l.Refused("", "unknown_key", 1, 0, 0)
			add("", "unknown_key", 1, 0, 0)
		case 2:
			p := limited(key, millrace.KeyLimits{EventRate: 1 << 30})
			admit(t, l, p, n, 100, "")
			l.Refund(p, n, 100)
			add(key, "", 0, 0, 0)
		default:
			admit(t, l, limited(key, millrace.KeyLimits{}), n, 100, "")
			add(key, "", 1, int64(n), 100)
		}
		if i%100 == 0 {
			m.off = r.IntN(2) == 0
			if err := l.Sync(t.Context()); (err != nil) != m.off {
				t.Fatal(err)
			}
		}
		if i%700 == 0 {
			c.pass(20 * time.Hour)
		}
	}
	m.off = false
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := m.Usage(t.Context(), 0, 0)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows, %v; want %d", len(got), err, len(want))
	}
	today := 0
	for _, u := range got {
		id := millrace.KeyUsage{Key: u.Key, Day: u.Day, Reason: u.Reason}
		w := want[id]
		w.Key, w.Day, w.Reason = id.Key, id.Day, id.Reason
		if u != w {
			t.Errorf("got %+v, want %+v", u, w)
		}
		if u.Day == millrace.UnixDay(c.now()) {
			today++
		}
	}
	if list := l.Today(); len(list) != today {
		t.Errorf("%d rows of today, want %d", len(list), today)
	}
	c.pass(50 * time.Hour)
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(l.counts) != 0 || len(l.keys) != 0 || len(l.Today()) != 0 {
		t.Errorf("%d counts and %d keys are still there", len(l.counts), len(l.keys))
	}
}

// Many requests at once never get more than the quota.
func TestLimitsConcurrent(t *testing.T) {
	c := &clock{at: noon}
	l := NewLimits(openMeta(t), c.now)
	p := limited("k", millrace.KeyLimits{DayEvents: 10_000})
	var wg sync.WaitGroup
	taken := make([]int, 8)
	for w := range taken {
		wg.Go(func() {
			for i := range 2000 {
				n := 1 + (w+i)%3
				if l.Admit(p, n, 1) == nil {
					taken[w] += n
				}
				if i%500 == 0 {
					if err := l.Sync(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != 10_000 {
		t.Errorf("%d taken, want 10000", sum)
	}
}

func TestLimitText(t *testing.T) {
	var got millrace.Key
	f := func(add func(*LimitChange) error, want millrace.KeyLimits) {
		t.Helper()
		var c LimitChange
		if err := add(&c); err != nil {
			t.Error(err)
		}
		if err := c.Apply(&got, noon); err != nil || got.Limits != want {
			t.Errorf("got %+v, %v, want %+v", got.Limits, err, want)
		}
	}
	f(func(c *LimitChange) error { return c.AddRate("1000/s") }, millrace.KeyLimits{EventRate: 1000})
	f(func(c *LimitChange) error { return c.AddRate("1.5MiB/s") }, millrace.KeyLimits{EventRate: 1000, ByteRate: 3 << 19})
	f(func(c *LimitChange) error { return errors.Join(c.AddBurst("7"), c.AddBurst("8B")) },
		millrace.KeyLimits{EventRate: 1000, ByteRate: 3 << 19, EventBurst: 7, ByteBurst: 8})
	f(func(c *LimitChange) error {
		return errors.Join(c.AddRate("none"), c.AddBurst("none"), c.AddQuota("5GiB/day"), c.AddQuota("10000000"))
	},
		millrace.KeyLimits{DayBytes: 5 << 30, DayEvents: 10_000_000})
	bad := func(want string, err error) {
		t.Helper()
		if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	var c LimitChange
	for _, s := range []string{"", "0", "-1/s", "many/s", "1000/m", "1MB/s", "1e3MiB/day"} {
		bad("1000/s", c.AddRate(s))
	}
	for text, want := range map[string]time.Time{"90d": noon.Add(90 * 24 * time.Hour), "never": {}, "2027-01-31T01:00:00+01:00": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)} {
		if err := (&LimitChange{Expires: &text}).Apply(&got, noon); err != nil || !got.Expires.Equal(want) {
			t.Errorf("%s: %v, %v", text, got.Expires, err)
		}
	}
	for text, want := range map[string]string{"": "no time", "tomorrow": "no time", "-1h": "is over", "2020-01-01T00:00:00Z": "is over"} {
		bad(want, (&LimitChange{Expires: &text}).Apply(&got, noon))
	}
	n := int64(-1)
	bad("day_bytes: -1", (&LimitChange{DayBytes: &n}).Apply(&got, noon))
	n = maxRate + 1
	bad("event_rate", (&LimitChange{EventRate: &n}).Apply(&got, noon))
}

func TestReasons(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	f := func(err error, code millrace.Code, key bool, reason string) {
		t.Helper()
		if millrace.ErrorCode(err) != code || (KeyOf(err) != "") != key || ReasonOf(err) != reason {
			t.Errorf("%v: key %q, reason %q; want %s, %v, %q", err, KeyOf(err), ReasonOf(err), code, key, reason)
		}
	}
	as := func(secret string) error {
		_, err := g.AuthorizeKey(t.Context(), secret, millrace.ScopeIngest)
		return err
	}
	f(as(""), millrace.ErrUnauthorized, false, "no_key")
	f(as("mr_ingest_x"), millrace.ErrUnauthorized, false, "unknown_key")
	f(as(g.read), millrace.ErrForbidden, true, "scope")
	keys, err := g.meta.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(keys, func(k *millrace.Key) bool { return k.Hash == Hash(g.ingest) })
	end := "1h"
	if _, err := (&LimitChange{Expires: &end}).Change(t.Context(), g.meta, keys[i].ID, g.now); err != nil {
		t.Fatal(err)
	}
	if err := as(g.ingest); err != nil {
		t.Error(err)
	}
	g.now = g.now.Add(time.Hour)
	f(as(g.ingest), millrace.ErrUnauthorized, true, "expired")
	if err := g.meta.RevokeKey(t.Context(), keys[i].ID, g.now); err != nil {
		t.Fatal(err)
	}
	g.Forget()
	f(as(g.ingest), millrace.ErrUnauthorized, true, "revoked")
	_, err = (&Principal{keys[i]}).Project("other")
	f(err, millrace.ErrForbidden, true, "project")
	f(millrace.Errorf(millrace.ErrTooLarge, "x"), millrace.ErrTooLarge, false, "too_large")
}

func TestAdmitAllocates(t *testing.T) {
	c := &clock{at: noon}
	l := NewLimits(nil, c.now)
	p := limited("k", millrace.KeyLimits{EventRate: 1e9, ByteRate: 1e12, DayEvents: 1e15, DayBytes: 1e15})
	admit(t, l, p, 1, 1, "")
	if n := testing.AllocsPerRun(100, func() { _ = l.Admit(p, 10, 1000) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, c := range []struct {
		name   string
		limits millrace.KeyLimits
		most   int64
	}{
		{"taken", millrace.KeyLimits{EventRate: 1e9, ByteRate: 1e12, DayEvents: 1e15, DayBytes: 1e15}, 1},
		{"refused", millrace.KeyLimits{DayEvents: 1}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := NewLimits(nil, time.Now)
			p := limited("k", c.limits)
			_ = l.Admit(p, 1, 1)
			b.ReportAllocs()
			for b.Loop() {
				_ = l.Admit(p, 1, 100)
			}
		})
	}
}

// Totals only grow.
func TestTotals(t *testing.T) {
	c := &clock{at: noon}
	l := NewLimits(nil, c.now)
	p := limited("k", millrace.KeyLimits{})
	admit(t, l, p, 5, 100, "")
	l.Refund(p, 5, 100)
	l.Refund(p, 0, 0)
	c.pass(48 * time.Hour)
	admit(t, l, p, 2, 10, "")
	l.Refused("k", "too_large", 1, 0, 7)
	got := map[string]millrace.KeyUsage{}
	for _, u := range l.Totals() {
		got[u.Reason] = u
	}
	want := map[string]millrace.KeyUsage{
		"taken":      {Key: "k", Reason: "taken", Requests: 2, Events: 7, Bytes: 110},
		"not_stored": {Key: "k", Reason: "not_stored", Requests: 1, Events: 5, Bytes: 100},
		"too_large":  {Key: "k", Reason: "too_large", Requests: 1, Bytes: 7},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
