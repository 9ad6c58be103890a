package gen

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// collector is a server that remembers what it was sent.
type collector struct {
	bodies map[string][]byte // by source
	places map[string]bool   // service and host of application logs
	seqs   map[string]int64
	bad    []string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.bad = append(c.bad, err.Error())
	}
	source := r.FormValue("source")
	c.bodies[source] = append(c.bodies[source], body...)
	if source == "logs" {
		c.places[r.FormValue("service")+" "+r.FormValue("host")+" "+r.FormValue("release")] = true
	}
	id, seq := r.Header.Get("X-Millrace-Client"), r.Header.Get("X-Millrace-Seq")
	if want := strconv.FormatInt(c.seqs[id], 10); seq != want {
		c.bad = append(c.bad, "sequence "+seq+" after "+want)
	}
	c.seqs[id]++
	_, _ = w.Write([]byte(`{"accepted":1,"rejected":[]}`))
}

// TestFeed feeds an hour of history and then ten minutes as they pass.
func TestFeed(t *testing.T) {
	c := &collector{bodies: map[string][]byte{}, places: map[string]bool{}, seqs: map[string]int64{}}
	srv := httptest.NewServer(c)
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	now := noon
	var shares []float64
	err := Feed(ctx, New(1, Options{}), FeedOptions{
		Server: srv.URL, Rate: 20, Start: noon.Add(-time.Hour), Tick: 5 * time.Second,
		Now: func() time.Time { return now },
		After: func(d time.Duration) <-chan time.Time {
			now = now.Add(d)
			if now.Sub(noon) > 10*time.Minute {
				cancel()
			}
			ch := make(chan time.Time, 1)
			ch <- now
			return ch
		},
		History: func(done float64) { shares = append(shares, done) },
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, s := range c.bad {
		t.Error(s)
	}
	if len(shares) != 13 || shares[12] != 1 {
		t.Errorf("history: %v", shares)
	}
	events, late := 0, 0
	var newest int64
	for source, body := range c.bodies {
		for _, e := range decodeAll(t, body) {
			events++
			newest = max(newest, e.Time)
			late += bit(e.Time < noon.Add(-65*time.Minute).UnixNano())
		}
		if bytes.Count(body, []byte("\n")) < 100 {
			t.Errorf("source %s: only %d lines", source, bytes.Count(body, []byte("\n")))
		}
	}
	if want := 20 * 70 * 60; events < want/2 || events > want*5/2 {
		t.Errorf("%d events, want about %d", events, want)
	}
	if len(c.bodies) != 4 || len(c.places) < 24 {
		t.Errorf("%d sources, %d places of application logs", len(c.bodies), len(c.places))
	}
	if d := now.UnixNano() - newest; d < 0 || d > int64(15*time.Second) {
		t.Errorf("newest event %s before the end", time.Duration(d))
	}
	if late == 0 {
		t.Error("no late lines")
	}
}
