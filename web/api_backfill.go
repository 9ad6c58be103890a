package web

import (
	"context"
	"net/http"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Backfills folds stored events into rollups again (pipeline.Backfills).
type Backfills interface {
	Start(ctx context.Context, q millrace.BackfillQuery) (millrace.BackfillProgress, error)
	Progress(rollup string) (millrace.BackfillProgress, error)
	Cancel(rollup string) error
}

type backfillInfo struct {
	Rollup string     `json:"rollup"`
	Rows   int64      `json:"rows"`
	Total  int64      `json:"total"`
	Cells  int64      `json:"cells"`
	From   *time.Time `json:"from"`
	To     *time.Time `json:"to"`
	Done   bool       `json:"done"`
	Error  string     `json:"error"`
}

func newBackfillInfo(rollup string, p millrace.BackfillProgress) backfillInfo {
	info := backfillInfo{Rollup: rollup, Rows: p.Rows, Total: p.Total, Cells: p.Cells, From: instant(p.From), To: instant(p.To), Done: p.Done}
	if p.Err != nil {
		info.Error = millrace.ErrorMessage(p.Err)
	}
	return info
}

// backfill starts a backfill (POST), tells how far it is (GET), or ends it (DELETE).
func (s *Server) backfill(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.PathValue("name")
	p := parseParams(r.URL.RawQuery, "from", "to")
	if p.err != nil {
		return nil, p.err
	}
	if s.Backfills == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "this process has no rollups to backfill")
	}
	switch r.Method {
	case http.MethodPost:
		q := millrace.BackfillQuery{Rollup: name}
		for name, into := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
			var err error
			if text := p.get(name); text != "" {
				if *into, err = query.ParseTime(text, s.Now()); err != nil {
					return nil, err
				}
			}
		}
		state, err := s.Backfills.Start(r.Context(), q)
		if err != nil {
			return nil, err
		}
		return newBackfillInfo(name, state), nil
	case http.MethodDelete:
		if err := s.Backfills.Cancel(name); err != nil {
			return nil, err
		}
	}
	state, err := s.Backfills.Progress(name)
	if err != nil {
		return nil, err
	}
	return newBackfillInfo(name, state), nil
}
