package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// The tail looks for new rows this often, among rows of this age: rows that
// arrive later than that are found by a search, not by a tail. The page bounds
// what one look may cost; what does not fit is reported as skipped.
const (
	tailEvery  = 500 * time.Millisecond
	tailWindow = 10 * time.Minute
	tailAhead  = 15 * time.Minute // event times may be ahead of arrival
	tailPage   = 500
)

// rowKey identifies a row: rows of a partition are stored in this order.
type rowKey struct {
	offset  int64
	ordinal int32
}

func (k rowKey) after(o rowKey) bool {
	return k.offset > o.offset || k.offset == o.offset && k.ordinal > o.ordinal
}

// tail sends rows as they become visible, as server-sent events: "event" has a
// row, "skipped" says that rows were left out because too many came at once,
// "error" says why the tail ends.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	req, err := s.logsRequest(r, parseParams(r.URL.RawQuery, "q", "project"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	t := &tailer{s: s, req: req, w: w, flush: http.NewResponseController(w)}
	t.req.Limit = tailPage
	if _, err := t.poll(r.Context(), false); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold events back
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write([]byte(": following\n\n")); err != nil || t.flush.Flush() != nil {
		return
	}
	t.run(r)
}

type tailer struct {
	s     *Server
	req   query.LogsRequest
	w     http.ResponseWriter
	flush *http.ResponseController
	seen  map[int32]rowKey // newest row sent, by partition
}

func (t *tailer) run(r *http.Request) {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	idle := 0
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		n, err := t.poll(r.Context(), true)
		if err != nil {
			if r.Context().Err() == nil {
				t.s.logFault(r, err)
				_ = t.send("error", map[string]string{"detail": millrace.ErrorMessage(err)})
				_ = t.flush.Flush()
			}
			return
		}
		if idle++; n > 0 {
			idle = 0
		} else if idle%30 == 0 { // a comment keeps idle connections open
			_, err = t.w.Write([]byte(": idle\n\n"))
		}
		if err != nil || t.flush.Flush() != nil {
			return
		}
	}
}

// poll finds rows that were not there at the last poll and sends them in the
// order they are stored in.
func (t *tailer) poll(ctx context.Context, send bool) (int, error) {
	now := t.s.Now()
	t.req.Range = query.Range{From: now.Add(-tailWindow), To: now.Add(tailAhead)}
	page, err := t.s.Query.Logs(ctx, t.req)
	if err != nil {
		return 0, err
	}
	fresh := slices.DeleteFunc(page.Events, func(e millrace.StoredEvent) bool {
		last, ok := t.seen[e.Partition]
		return ok && !rowKey{e.Offset, e.Ordinal}.after(last)
	})
	if t.seen == nil {
		t.seen = map[int32]rowKey{}
	}
	for _, e := range fresh {
		k := rowKey{e.Offset, e.Ordinal}
		if last, ok := t.seen[e.Partition]; !ok || k.after(last) {
			t.seen[e.Partition] = k
		}
	}
	if !send {
		return 0, nil
	}
	slices.SortFunc(fresh, func(a, b millrace.StoredEvent) int {
		return cmp.Or(a.Arrived.Compare(b.Arrived), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	if len(fresh) == tailPage {
		if err := t.send("skipped", map[string]int{"more_than": tailPage}); err != nil {
			return 0, err
		}
	}
	for i := range fresh {
		if err := t.send("event", &fresh[i]); err != nil {
			return 0, err
		}
	}
	return len(fresh), nil
}

func (t *tailer) send(event string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode tail event: %w", err)
	}
	_, err := fmt.Fprintf(t.w, "event: %s\ndata: %s\n\n", event, bytes.TrimSpace(b.Bytes()))
	return err
}
