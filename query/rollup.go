package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/formula"
)

// Limits of the rows of a rollup's answer. Without a limit more than
// DefaultRows is an error rather than a silent cut; MaxRows bounds memory.
const (
	DefaultRows = 10_000
	MaxRows     = 100_000
)

// SourceRaw is RollupResult.Source of what was computed from raw rows.
const SourceRaw = "raw"

// before is what names of an earlier period's values end in.
const before = "_before"

// RollupRequest is a question to one rollup.
type RollupRequest struct {
	Rollup string
	// Metrics are names of the rollup's metrics (any quantile as rt_p95 or
	// rt_p99.9), calls such as sum(price, 2), and arithmetic, with a name of its
	// own as in share=errors/pv. Empty is all.
	Metrics []string
	By      []string // dimensions, or any fields of events
	Where   string   // search language over dimensions, or any fields of events
	// Filter is a further condition, for those who have one rather than text. It may
	// have more terms than the language allows.
	Filter *millrace.Filter
	Having string // condition on metrics of the answer: pv > 100 and error_rate >= 0.01
	Range  Range
	// ExactFrom and ExactTo say that an end of the range is meant to the
	// nanosecond. Else it is widened to the minute, and further where finer cells
	// are gone.
	ExactFrom, ExactTo bool
	Step               time.Duration  // whole minutes; 0 is one step over the range
	Zone               *time.Location // of days; nil is UTC
	Compare            time.Duration  // each metric's value that much earlier stands beside it; 0: none
	Order              []string       // columns or metrics, with a leading - or a following desc for descending
	CellsOnly          bool           // ErrInvalid rather than an answer from raw rows
	Limit              int            // 0: no limit, but more than DefaultRows is ErrTooLarge
}

// RollupResult is the answer. The columns are bucket (only with a step), those
// of By, then the metrics, each with its earlier value NAME_before if that was
// asked for. Values are nil, string, int64, float64, json.Number or time.Time
// (bucket).
type RollupResult struct {
	CompleteUntil time.Time `json:"complete_until,omitzero"`
	Source        string    `json:"source"` // granularities read, such as 1h or 1d+1h+1m, or raw
	Columns       []string  `json:"columns"`
	Rows          [][]any   `json:"rows"`
}

// question is a checked request.
type question struct {
	req    *RollupRequest
	schema *millrace.RollupSchema
	cols   *columnSet
	where  *millrace.Filter
	fields []string // that by and where read, without repetition
	text   bool     // where reads messages
	having *formula.Expr
	refs   map[string]ref // names in having
	order  []orderKey
}

// ref is a value of a row: column col, or its earlier value.
type ref struct {
	col    int
	before bool
}

// Rollup answers from the fewest cells that answer exactly, or from raw rows if
// none do. ErrInvalid: unknown names, a bad filter or expression. ErrNotFound: no
// such rollup. ErrTooLarge: more rows, or raw rows, than allowed.
func (s *Service) Rollup(ctx context.Context, req RollupRequest) (*RollupResult, error) {
	sc, err := s.Schema(req.Rollup)
	if err != nil {
		return nil, err
	}
	q, err := newQuestion(sc, &req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	complete := s.CompleteUntil() // before the read, so that it never promises too much
	rows, source, err := s.answer(ctx, q)
	if err != nil {
		return nil, timedOut(ctx, "rollup "+sc.Name, err)
	}
	rows = q.filter(rows)
	q.sort(rows)
	if rows, err = limit(rows, req.Limit); err != nil {
		return nil, err
	}
	res := &RollupResult{CompleteUntil: complete, Source: source, Columns: q.columns(), Rows: make([][]any, len(rows))}
	for i := range rows {
		res.Rows[i] = q.row(&rows[i])
	}
	return res, nil
}

// newQuestion checks a request.
func newQuestion(sc *millrace.RollupSchema, req *RollupRequest) (*question, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	q := &question{req: req, schema: sc}
	var err error
	if q.cols, err = newColumns(sc, req.Metrics); err != nil {
		return nil, err
	}
	if q.where, err = Parse(req.Where); err != nil {
		return nil, prefix("where", err)
	}
	q.where = both(q.where, req.Filter)
	if err := q.findFields(); err != nil {
		return nil, err
	}
	if err := q.parseHaving(); err != nil {
		return nil, err
	}
	return q, q.parseOrder()
}

func (req *RollupRequest) check() error {
	if err := req.Range.check(); err != nil {
		return err
	}
	if req.Limit < 0 || req.Limit > MaxRows {
		return millrace.Errorf(millrace.ErrInvalid, "limit %d: must be between 0 and %d", req.Limit, MaxRows)
	}
	if req.Step < 0 || req.Step%time.Minute != 0 {
		return millrace.Errorf(millrace.ErrInvalid, "step %s: must be whole minutes, or 0 for one bucket", req.Step)
	}
	if req.Compare < 0 || req.Compare%time.Minute != 0 || req.Compare > maxCompare {
		return millrace.Errorf(millrace.ErrInvalid, "compare -%s: must be whole minutes, at most %s", millrace.Duration(req.Compare), millrace.Duration(maxCompare))
	}
	if req.Zone == nil {
		req.Zone = time.UTC
	}
	return nil
}

// maxCompare keeps earlier periods within the times that can be told.
const maxCompare = 10 * 366 * 24 * time.Hour

// findFields notes what by and where read.
func (q *question) findFields() error {
	for i, name := range q.req.By {
		if name == "" || len(name) > 63 || slices.Contains(q.req.By[:i], name) {
			return millrace.Errorf(millrace.ErrInvalid, "by: %q: must be distinct names of 1 to 63 bytes", name)
		}
		if name == "bucket" || q.cols.find(name) >= 0 {
			return millrace.Errorf(millrace.ErrInvalid, "by: %q is another column of the answer", name)
		}
	}
	fields := map[string]bool{}
	q.where.Fields(fields)
	q.text = readsText(q.where)
	q.fields = slices.Clone(q.req.By)
	for name := range fields {
		if !slices.Contains(q.fields, name) {
			q.fields = append(q.fields, name)
		}
	}
	return nil
}

func readsText(f *millrace.Filter) bool {
	if f == nil {
		return false
	}
	return f.Op == millrace.FilterText || slices.ContainsFunc(f.Sub, readsText)
}

// both returns the conjunction of two conditions, of which either may be nil.
func both(a, b *millrace.Filter) *millrace.Filter {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{a, b}}
}

// answer reads the rows, in the order of steps and dimensions, and those of the
// earlier period.
func (s *Service) answer(ctx context.Context, q *question) ([]resultRow, string, error) {
	now, err := s.read(ctx, q, nil)
	if err != nil {
		return nil, "", err
	}
	if q.req.Compare == 0 {
		rows, err := q.rows(now)
		return rows, now.source, err
	}
	was, err := s.read(ctx, q, now.line)
	if err != nil {
		return nil, "", prefix("the earlier period", err)
	}
	rows, err := q.compare(now, was)
	source := now.source
	if was.source != source {
		source += ", before: " + was.source
	}
	return rows, source, err
}

// reading is merged states, and how they were read.
type reading struct {
	line   *timeline
	source string
	cells  *millrace.CellBatch
}

// read reads the range, or the period before line, which is the range's.
func (s *Service) read(ctx context.Context, q *question, line *timeline) (*reading, error) {
	r, parts, err := s.planRange(ctx, q, line, nil)
	if err != nil {
		return nil, err
	}
	if parts == nil && q.req.CellsOnly {
		return nil, q.noCells()
	}
	if parts == nil {
		r.source = SourceRaw
		r.cells, err = s.readRaw(ctx, q, r.line)
		return r, err
	}
	return s.readCells(ctx, q, r.line, parts)
}

// readCells reads parts, merged into the steps of a timeline.
func (s *Service) readCells(ctx context.Context, q *question, line *timeline, parts []millrace.CellPart) (*reading, error) {
	by := make([]int, len(q.req.By))
	for i, name := range q.req.By {
		by[i] = slices.Index(q.schema.Dimensions, name)
	}
	cq := millrace.CellQuery{
		Rollup: q.schema.Name, Parts: parts, From: line.from, By: by, Where: q.where, States: q.cols.states(),
	}
	if line.runs[0].Width > 0 || len(line.runs) > 1 {
		cq.Steps = line.runs
	}
	cells, err := s.cells(ctx, &cq)
	return &reading{line: line, source: sourceName(parts), cells: cells}, err
}

// planRange plans the range, or the period before line. have is what the Store tells
// of its cells there, nil if it was not asked yet. No parts: cells cannot answer.
func (s *Service) planRange(ctx context.Context, q *question, line *timeline, have *millrace.Coverage) (*reading, []millrace.CellPart, error) {
	for _, ends := range q.attempts(line) {
		t := ends
		if line == nil {
			var err error
			t, err = newTimeline(ends.from, ends.to, q.req.Step, q.req.Zone, q.req.Compare > 0)
			if err != nil {
				return nil, nil, err
			}
		}
		if have == nil {
			var err error
			if have, err = s.coverage(ctx, q.schema.Name, t.from, t.to); err != nil {
				return nil, nil, err
			}
		}
		parts, err := s.planParts(ctx, q, t, have)
		if parts != nil || err != nil {
			return &reading{line: t}, parts, err
		}
	}
	if line != nil {
		return &reading{line: line.earlier(q.req.Compare)}, nil, nil
	}
	// From raw rows, at most widened to whole minutes.
	from, to := q.ends(millrace.Minute, millrace.Minute)
	t, err := newTimeline(from, to, q.req.Step, q.req.Zone, q.req.Compare > 0)
	if err != nil {
		return nil, nil, err
	}
	lo, hi := q.exact(t)
	t.width = float64(hi-lo) / 1e9
	return &reading{line: t}, nil, nil
}

func (s *Service) planParts(ctx context.Context, q *question, t *timeline, have *millrace.Coverage) ([]millrace.CellPart, error) {
	p := newPlanner(t, have, q.fields, q.cols.since(have.Metrics))
	return p.plan(ctx, func(ctx context.Context, parts []millrace.CellPart) ([]int64, error) {
		return s.countCells(ctx, q.schema.Name, parts)
	})
}

// attempts returns the ranges to try: as asked, then widened where that is
// allowed. Exact ends that are no minutes leave none, as does an earlier period
// in which the same range is widened by itself.
func (q *question) attempts(line *timeline) []*timeline {
	if q.misaligned() || q.text || !containsAll(q.schema.Dimensions, q.fields) {
		return nil
	}
	if line != nil {
		return []*timeline{line.earlier(q.req.Compare)}
	}
	var out []*timeline
	for _, w := range widths {
		from, to := q.ends(w[0], w[1])
		if !slices.ContainsFunc(out, func(t *timeline) bool { return t.from == from && t.to == to }) {
			out = append(out, &timeline{from: from, to: to})
		}
	}
	return out
}

// widths are how the ends of a range are widened, the least first.
var widths = [][2]millrace.Granularity{
	{millrace.Minute, millrace.Minute},
	{millrace.Hour, millrace.Minute},
	{millrace.Minute, millrace.Hour},
	{millrace.Hour, millrace.Hour},
	{millrace.Day, millrace.Minute},
	{millrace.Day, millrace.Hour},
	{millrace.Minute, millrace.Day},
	{millrace.Hour, millrace.Day},
	{millrace.Day, millrace.Day},
}

// ends returns the ends of the range, widened to multiples where they are not exact.
func (q *question) ends(from, to millrace.Granularity) (int64, int64) {
	lo, hi := q.req.Range.From.Unix(), ceilSeconds(q.req.Range.To)
	if q.req.ExactFrom {
		from = millrace.Minute
	}
	if q.req.ExactTo {
		to = millrace.Minute
	}
	return from.Floor(lo), ceil(to, hi)
}

// misaligned reports whether an exact end lies within a minute.
func (q *question) misaligned() bool {
	within := func(t time.Time) bool { return t.Nanosecond() != 0 || t.Unix()%60 != 0 }
	return q.req.ExactFrom && within(q.req.Range.From) || q.req.ExactTo && within(q.req.Range.To)
}

// noCells says why no cells answer.
func (q *question) noCells() error {
	sc := q.schema
	if q.text {
		return millrace.Errorf(millrace.ErrInvalid, "where: plain words search messages, which rollups do not keep")
	}
	sets := make([]string, len(sc.Sets))
	for i, set := range sc.Sets {
		sets[i] = "(" + sc.SetName(set) + ")"
	}
	return &millrace.Error{
		Code: millrace.ErrInvalid,
		Message: "rollup " + sc.Name + " keeps no set with " + strings.Join(q.fields, " and ") +
			" (of by and where together) and these metrics that answers the whole range by this step; there are " + strings.Join(sets, ", "),
		Hint: "add the set to the rollup's configuration, or ask the raw rows",
	}
}

func ceilSeconds(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

// timedOut says so if err is the end of the time that one question may take.
func timedOut(ctx context.Context, what string, err error) error {
	if ctx.Err() == context.DeadlineExceeded && millrace.ErrorCode(err) == millrace.ErrInternal {
		return &millrace.Error{Code: millrace.ErrTimeout, Op: what, Message: what + " took longer than its limit; ask for a shorter range", Err: err}
	}
	return err
}

// nameList joins names for an error message.
func nameList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
