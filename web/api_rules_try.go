package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/query"
)

type tryRequest struct {
	Project string  `json:"project"`
	Source  string  `json:"source"`
	Format  string  `json:"format"`
	Rules   *string `json:"rules"` // absent: the current ones
	Lines   string  `json:"lines"` // what to try them on,
	Last    int     `json:"last"`  // or how many of the source's stored events
}

// tryRules runs rules on lines without storing anything.
func (s *Server) tryRules(w http.ResponseWriter, r *http.Request) (any, error) {
	var req tryRequest
	if err := readJSON(w, r, &req); err != nil {
		return nil, err
	}
	if req.Source == "" {
		req.Source = "default"
	}
	if !auth.ValidName(req.Source) {
		return nil, millrace.Errorf(millrace.ErrInvalid, "source %.140q: 1 to 128 of A-Z a-z 0-9 . _ -", req.Source)
	}
	project, err := rulesProject(r, req.Project)
	if err != nil {
		return nil, err
	}
	trial := millrace.RuleTrial{Project: project, Source: req.Source, Format: req.Format, Text: req.Rules, Payload: []byte(req.Lines)}
	if req.Lines == "" {
		if err := s.lastLines(r.Context(), &req, &trial); err != nil {
			return nil, err
		}
	}
	result, err := s.Rules.Try(r.Context(), trial)
	if err != nil {
		return nil, violations(err)
	}
	return result, nil
}

// maxLast is how many stored events a trial takes at most.
const maxLast = 1000

// lastLines fills a trial with the newest stored events of the source.
func (s *Server) lastLines(ctx context.Context, req *tryRequest, t *millrace.RuleTrial) error {
	if req.Last < 1 || req.Last > maxLast {
		return millrace.Errorf(millrace.ErrInvalid, "lines are missing, and last is %d: must be between 1 and %d", req.Last, maxLast)
	}
	page, err := s.Query.Logs(ctx, query.LogsRequest{
		Query: `source:"` + t.Source + `"`, Project: t.Project, Limit: req.Last,
		Range: query.Range{From: time.Unix(0, 0), To: s.Now().Add(millrace.MaxAhead)},
	})
	if err != nil {
		return err
	}
	var d decode.Decoder
	for i := range page.Events {
		line := storedLine(&d, &page.Events[i])
		if len(t.Payload)+len(line) > 1<<20 {
			break
		}
		t.Payload = append(t.Payload, line...)
		t.Frames = append(t.Frames, uint32(len(line)))
	}
	if t.Frames == nil {
		t.Frames = []uint32{}
	}
	return nil
}

// storedLine returns the line that an event was, or one that decodes to it: of
// structured lines that have a message only that is kept, beside the fields.
// What rules masked or dropped by then is gone.
func storedLine(d *decode.Decoder, e *millrace.StoredEvent) string {
	if len(e.Attrs) <= len("{}") || decodes(d, e.Message) {
		return e.Message
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(e.Attrs, &fields) != nil {
		return e.Message // our own JSON: cannot be
	}
	for name, value := range map[string]string{
		"time": e.Time.Format(time.RFC3339Nano), "level": e.Level, "service": e.Service, "host": e.Host, "env": e.Env,
		"release": e.Release, "trace_id": e.TraceID, "message": e.Message,
	} {
		if value != "" {
			fields[name] = millrace.AppendJSONString(nil, value)
		}
	}
	line, err := json.Marshal(fields)
	if err != nil {
		return e.Message
	}
	return string(line)
}

// decodes reports whether a line has fields of its own.
func decodes(d *decode.Decoder, line string) bool {
	var b millrace.Batch
	b.Reset(&millrace.Record{Format: "auto", Payload: []byte(line), Frames: []uint32{uint32(len(line))}})
	d.Decode(&b)
	return len(b.Events) == 1 && len(b.Events[0].Attrs) > 0
}
