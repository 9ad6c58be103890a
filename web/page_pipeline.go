package web

import (
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

func (s *Server) pipeline(v *view) any {
	arrivals := &panel{Title: "Arrivals", About: "Events that reached the store per " + stepName(v.Step) + ", by time of arrival", Wide: "12"}
	disk := &panel{Title: "Storage", About: "What is kept, and the room that is left", Wide: "12"}
	lag := &panel{Title: "Positions", About: "How far each sink has folded each partition of the queue", Wide: "12"}
	accounts := &panel{Title: "Ledger", About: "Every event is accounted for: received = stored + sampled + filtered + duplicate + rejected", Wide: "12"}
	reasons := &panel{Title: "Not stored, and why", About: "With the first example of each reason", Wide: "12"}
	cells := &panel{Title: "Rollup engine", About: "What it holds; cells that are being stored have left it", Wide: "6"}
	folded := &panel{Title: "Counted under (other)", About: "Weight beyond the cap of a dimension or a set; totals are exact", Wide: "6"}
	gaps := &panel{Title: "Gaps", About: "Offsets that were missing from the queue", Wide: "6"}
	aside := &panel{Title: "Set aside", About: "Records taken out of the stream because a stage failed on them; the payload is kept", Wide: "6"}
	var ledger *query.Ledger
	var nodes *panel // nil while there is one node only
	parallel(
		func() { nodes = s.nodesPanel(v) },
		func() { s.fillArrivals(v, arrivals) },
		func() { s.fillDisk(v, disk) },
		func() { s.fillPositions(lag) },
		func() { ledger = s.fillLedger(v, accounts, reasons) },
		func() { s.fillRollups(cells) },
		func() { s.fillGaps(v, gaps) },
		func() { s.fillSetAside(v, aside) },
	)
	fillFolded(v, folded, ledger)
	d := dashboard{layout: s.frame(v, "Pipeline", "source")}
	d.Figures = s.pipelineFigures(v, ledger)
	d.Panels = []*panel{arrivals, accounts, reasons, lag, cells, folded, disk, gaps, aside}
	if nodes != nil {
		d.Panels = append([]*panel{arrivals, nodes}, d.Panels[1:]...)
	}
	return d
}

func (s *Server) pipelineFigures(v *view, l *query.Ledger) []figure {
	var fs []figure
	if st, ok := s.Query.Status(); ok {
		fs = append(fs, figure{Label: "Arriving", Value: formatShort(st.Received.Events) + "/s", Was: "events, over the last minute"})
		for _, sink := range []struct {
			name  millrace.Sink
			label string
		}{{millrace.SinkEvents, "Raw rows behind"}, {millrace.SinkRollup, "Rollups behind"}} {
			records, seconds := st.Lag(sink.name)
			d := time.Duration(seconds * float64(time.Second))
			fs = append(fs, figure{Label: sink.label, Value: formatAge(d), Mood: lagMood(d), Was: formatCount(records) + " records in the queue"})
		}
	}
	complete := figure{Label: "Complete until", Value: none, Was: "nothing arrived yet"}
	if c := s.Query.CompleteUntil(); !c.IsZero() {
		complete.Value, complete.HTML, complete.Was = "", stamp(c, "time"), formatAge(v.Now.Sub(c))+" ago"
	}
	fs = append(fs, complete)
	if l != nil {
		fs = append(fs, ledgerFigure(l))
	}
	return fs
}

func ledgerFigure(l *query.Ledger) figure {
	var received, lost int64
	for _, a := range l.Accounts {
		if a.Sink == millrace.SinkEvents {
			received += a.Received.Events
			lost += a.Rejected.Events
		}
	}
	f := figure{Label: "Rejected", Value: formatCount(lost), Was: "of " + formatCount(received) + " received"}
	if received > 0 {
		f.Value = formatPercent(float64(lost) / float64(received))
		f.Title = formatCount(lost)
	}
	return f
}

func (s *Server) fillArrivals(v *view, p *panel) {
	points, err := s.Query.Arrivals(v.ctx, query.LedgerRequest{Range: v.Range, Source: v.get("source"), Sink: string(millrace.SinkEvents)})
	if err != nil {
		p.failed(err)
		return
	}
	g := v.grid()
	stored, dup, lost := g.column(0), g.column(0), g.column(0)
	for _, a := range points {
		g.add(stored, a.Minute, float64(a.Stored.Events))
		g.add(dup, a.Minute, float64(a.Duplicate.Events+a.Filtered.Events+a.Sampled.Events))
		g.add(lost, a.Minute, float64(a.Rejected.Events+a.Refused.Events))
	}
	p.Chart = v.newChart("arrivals", "stack", "count", "", time.Time{},
		series{Label: "Stored", Color: "green", Values: stored},
		series{Label: "Duplicate, filtered, sampled", Color: "grey", Values: dup},
		series{Label: "Rejected, refused", Color: "red", Values: lost})
	p.Chart.Label = fmt.Sprintf("Events by time of arrival: %s stored", formatCount(int64(sum(stored))))
	p.orEmpty("Nothing arrived in this range.")
}

func (s *Server) fillDisk(v *view, p *panel) {
	st, err := s.Query.Stats(v.ctx)
	if err != nil {
		p.failed(err)
		return
	}
	perRow := none
	if st.Events > 0 && st.EventBytes > 0 {
		perRow = fmt.Sprintf("%.0f B", float64(st.EventBytes)/float64(st.Events))
	}
	p.Facts = []fact{
		{Label: "Raw rows", Text: formatCount(st.Events) + " · " + formatBytes(st.EventBytes)},
		{Label: "Per raw row", Text: perRow},
		{Label: "Rollups", Text: formatBytes(st.RollupBytes)},
		{Label: "Minute cells", Text: formatCount(st.Cells)},
		{Label: "Deltas to compact", Text: formatCount(st.Deltas)},
		{Label: "Hours and days to compute", Text: formatCount(st.DirtyHours)},
		{Label: "Database files", Text: formatBytes(st.TotalBytes)},
	}
	if !st.OldestEvent.IsZero() {
		p.Facts = append(p.Facts, fact{Label: "Oldest event", HTML: stamp(st.OldestEvent, "full")})
	}
	ps, ok := s.Query.Status()
	if !ok {
		return
	}
	p.Facts = append(p.Facts, fact{Label: "Queue", Text: formatBytes(ps.QueueBytes)})
	if ps.DiskTotal > 0 {
		used := 1 - float64(ps.DiskFree)/float64(ps.DiskTotal)
		f := fact{Label: "Disk free", Text: formatBytes(ps.DiskFree) + " of " + formatBytes(ps.DiskTotal), Mood: "good"}
		if used >= 0.85 {
			f.Mood = "bad"
		} else if used >= 0.75 {
			f.Mood = "warn"
		}
		p.Facts = append(p.Facts, f)
	}
	if ps.MemoryBytes > 0 {
		p.Facts = append(p.Facts, fact{Label: "Memory", Text: formatBytes(ps.MemoryBytes) + limitOf(ps.MemoryLimit)})
	}
	p.Facts = append(p.Facts, fact{Label: "Running since", HTML: stamp(ps.Started, "full")})
}

func limitOf(n int64) string {
	if n <= 0 {
		return ""
	}
	return " of " + formatBytes(n)
}

func (s *Server) fillPositions(p *panel) {
	st, ok := s.Query.Status()
	if !ok {
		p.Note = "This process runs no pipeline."
		return
	}
	p.Table = &table{Head: []header{
		{Label: "Sink"},
		{Label: "Partition", Numeric: true},
		{Label: "Position", Numeric: true},
		{Label: "End of queue", Numeric: true},
		{Label: "Behind", Numeric: true},
		{Label: "Age", Numeric: true},
		{Label: "Events/s", Numeric: true},
		{Label: "Last flush", Numeric: true},
	}}
	ends := map[int32]query.PartitionStatus{}
	for _, q := range st.Partitions {
		ends[q.Partition] = q
	}
	for _, k := range st.Sinks {
		age := time.Duration(k.Seconds * float64(time.Second))
		name := text(string(k.Sink))
		if k.Error != "" {
			name.Sub, name.Bad = k.Error, true
		}
		p.Table.Rows = append(p.Table.Rows, row{Cells: []cell{
			name, number(int64(k.Partition)), number(k.Offset), number(ends[k.Partition].End), number(k.Records),
			{Text: formatAge(age), Bad: age >= lagBad},
			text(formatShort(k.Rate.Events)),
			{HTML: stamp(k.LastFlush, "ago"), Title: "took " + formatSeconds(k.FlushTime)},
		}})
	}
	p.orNote("No sink has a partition yet.")
}

func (s *Server) fillLedger(v *view, p, reasons *panel) *query.Ledger {
	l, err := s.Query.Ledger(v.ctx, query.LedgerRequest{Range: v.Range, Source: v.get("source")})
	if err != nil {
		p.failed(err)
		reasons.failed(err)
		return nil
	}
	p.Table = &table{Head: []header{
		{Label: "Source"},
		{Label: "Sink"},
		{Label: "Received", Numeric: true},
		{Label: "Stored", Numeric: true},
		{Label: "Sampled", Numeric: true},
		{Label: "Filtered", Numeric: true},
		{Label: "Duplicate", Numeric: true},
		{Label: "Rejected", Numeric: true},
		{Label: "Refused", Numeric: true, About: "At the door, before the queue; not part of received"},
		{Label: "Check", Numeric: true, About: "Received less all that became of it"},
	}}
	reasons.Table = &table{Head: []header{{Label: "Source"}, {Label: "Outcome"}, {Label: "Reason"}, {Label: "Events", Numeric: true}, {Label: "Example"}}}
	for _, a := range l.Accounts {
		check := cell{Text: "✓", Title: "adds up"}
		if !a.Balanced() {
			check = cell{Text: fmt.Sprintf("%+d", a.Difference.Events), Bad: true, Title: "does not add up"}
		}
		p.Table.Rows = append(p.Table.Rows, row{Bad: !a.Balanced(), Cells: []cell{
			named(a.Source, v.With("source", a.Source)), text(string(a.Sink)), number(a.Received.Events), zeroDim(a.Stored.Events),
			zeroDim(a.Sampled.Events), zeroDim(a.Filtered.Events), zeroDim(a.Duplicate.Events), zeroDim(a.Rejected.Events),
			zeroDim(a.Refused.Events), check,
		}})
		if a.Sink != millrace.SinkEvents {
			continue
		}
		for _, r := range a.Reasons {
			reasons.Table.Rows = append(reasons.Table.Rows, row{Cells: []cell{
				text(a.Source), text(string(r.Outcome)), text(r.Reason), number(r.Events), {Text: r.Example, Code: true, Title: r.Example},
			}})
		}
	}
	p.orNote("Nothing arrived in this range.")
	reasons.orNote("Everything that arrived in this range was stored.")
	return l
}

func zeroDim(n int64) cell { return cell{Text: formatCount(n), Dim: n == 0} }

func (s *Server) fillGaps(v *view, p *panel) {
	list, err := s.Query.Gaps(v.ctx)
	if err != nil {
		p.failed(err)
		return
	}
	p.Table = &table{Head: []header{{Label: "Found"}, {Label: "Sink"}, {Label: "Partition", Numeric: true}, {Label: "Offsets", Numeric: true}, {Label: "Reason"}}}
	for i := len(list) - 1; i >= 0 && len(p.Table.Rows) < 50; i-- {
		g := list[i]
		to := strconv.FormatInt(g.To, 10)
		if g.To < 0 {
			to = "?"
		}
		p.Table.Rows = append(p.Table.Rows, row{Cells: []cell{
			{HTML: stamp(g.Found, "full")},
			text(string(g.Sink)), number(int64(g.Partition)),
			text(strconv.FormatInt(g.From, 10) + "–" + to), text(g.Reason),
		}})
	}
	p.orNote("None: the queue had every offset.")
}

func (s *Server) fillSetAside(v *view, p *panel) {
	list, err := s.Query.SetAside(v.ctx, 50)
	if err != nil {
		p.failed(err)
		return
	}
	p.Table = &table{Head: []header{{Label: "Time"}, {Label: "Source"}, {Label: "Stage"}, {Label: "Reason"}, {Label: "Beginning"}}}
	for _, r := range list {
		p.Table.Rows = append(p.Table.Rows, row{Cells: []cell{
			{HTML: stamp(r.Time, "full"), Sub: fmt.Sprintf("partition %d, offset %d", r.Partition, r.Offset)},
			text(r.Source), text(r.Stage), text(r.Reason),
			{Text: r.Example, Code: true, Title: r.Example},
		}})
	}
	p.orNote("None: no stage failed on a record.")
}

// fillRollups shows the memory of the rollup engine.
func (s *Server) fillRollups(p *panel) {
	st, ok := s.Query.Status()
	if !ok {
		p.Note = "This process runs no pipeline."
		return
	}
	r := st.Rollups
	early := fact{Label: "Early flushes", Text: formatCount(r.EarlyFlushes) + " since the start"}
	if r.EarlyFlushes > 0 {
		early.Mood = "warn"
		early.Text += ": memory was full before the interval; pipeline.rollup_memory raises it"
	}
	p.Facts = []fact{
		{Label: "Memory", Text: formatBytes(r.Bytes) + limitOf(r.Limit)},
		{Label: "At most so far", Text: formatBytes(r.Peak)},
		{Label: "Without open cells", Text: formatBytes(r.Dictionaries)},
		{Label: "Open cells", Text: formatCount(r.OpenCells)},
		early,
	}
}

// fillFolded shows what is counted under "(other)"; l is nil if the ledger failed.
func fillFolded(v *view, p *panel, l *query.Ledger) {
	if l == nil {
		p.Note = "The ledger could not be read."
		return
	}
	p.Table = &table{Head: []header{{Label: "Rollup"}, {Label: "Weight", Numeric: true}, {Label: "Why"}}}
	for _, f := range l.Folded {
		p.Table.Rows = append(p.Table.Rows, row{Cells: []cell{text(f.Where), number(f.Weight), text(f.Hint)}})
	}
	if v.get("source") != "" {
		p.Note = "It is not known by source: look at all of them."
		p.Table = nil
		return
	}
	p.orNote("Nothing: every value and combination has cells of its own.")
}
