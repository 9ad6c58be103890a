package bench

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine describes where a figure was measured, for tables of figures.
func Machine(now time.Time, command string) string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(text), "\n") {
			if key, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s/%s, %s; %s; `%s`", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH,
		runtime.Version(), now.Format(time.DateOnly), command)
}

// table is rows of a Markdown table, of which the first is the head.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) write(w io.Writer) {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, c := range row {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	line := func(row []string) {
		for i, c := range row {
			fmt.Fprintf(w, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		fmt.Fprintln(w, "|")
	}
	line(t[0])
	for _, n := range width {
		fmt.Fprint(w, "|", strings.Repeat("-", n+2))
	}
	fmt.Fprintln(w, "|")
	for _, row := range t[1:] {
		line(row)
	}
}

// Write reports a result as Markdown.
func (r *Result) Write(w io.Writer, title, machine string) {
	lines := float64(r.Sent.Lines)
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n", title, machine)
	t := table{{"under full load", ""}}
	t.row("lines sent", fmt.Sprintf("%d of %.0f bytes, %d requests", r.Sent.Lines, float64(r.Sent.Bytes)/lines, r.Sent.Requests))
	t.row("accepted (durable)", fmt.Sprintf("%.0f lines/s, %.0f MB/s, for %.0f s", lines/r.Sent.Elapsed.Seconds(), float64(r.Sent.Bytes)/1e6/r.Sent.Elapsed.Seconds(), r.Sent.Elapsed.Seconds()))
	t.row("**stored and counted, queue drained**", fmt.Sprintf("**%.0f lines/s**", r.Sustained()))
	t.row("drained after the last line sent", fmt.Sprintf("raw rows %.1f s, rollups %.1f s", (r.Drained["events"]-r.Sent.Elapsed).Seconds(), (r.Drained["rollup"]-r.Sent.Elapsed).Seconds()))
	t.row("request answered in (p50 / p99 / max)", quantiles(r.Sent.Requested))
	t.row("told to wait", fmt.Sprintf("%d times", r.Sent.Throttled))
	t.row("stored while lines were sent", fmt.Sprintf("%.0f lines/s", r.Storing()))
	if r.Settled > 0 {
		t.row("compacted, hours and days computed, after the last line sent", fmt.Sprintf("%.1f s", (r.Settled-r.Sent.Elapsed).Seconds()))
	}
	t.row("slices of upkeep, the longest held the writer for", fmt.Sprintf("%.0f, %.0f ms", r.After["millrace_store_slices_total"], 1000*r.After["millrace_store_slice_longest_seconds"]))
	t.row("CPU per line", fmt.Sprintf("%s µs, %.2f cores in the mean", micros(r.Usage.CPU, lines), float64(r.Usage.CPU)/(lines/r.Sustained()*1e9)))
	t.row("CPU per line of senders and questioner", micros(r.LoadCPU, lines)+" µs")
	t.row("peak memory", fmt.Sprintf("%.0f MB resident", float64(r.Usage.Peak)/1e6))
	t.write(w)
	r.writeStages(w)
	r.writeDisk(w)
	if len(r.Answers) == 0 {
		return
	}
	fmt.Fprintln(w)
	q := table{{"question, once a second meanwhile", "p50 / p99 / max", "answers", "failed"}}
	for _, a := range r.Answers {
		q.row(a.Name, quantiles(a.Took), fmt.Sprint(a.Took.N), failures(a))
	}
	q.write(w)
}

func failures(a Answers) string {
	if a.Failed == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %v", a.Failed, a.Err)
}

// writeStages shows CPU by stage from the profile, and how long each stage's
// goroutine was busy, from the metrics.
func (r *Result) writeStages(w io.Writer) {
	lines := float64(r.Sent.Lines)
	if r.Stages != nil {
		fmt.Fprintln(w)
		t := table{{"CPU per line by stage", "µs", "share"}}
		rest := r.Usage.CPU
		type stage struct {
			name string
			d    time.Duration
		}
		var list []stage
		for name, d := range r.Stages {
			list = append(list, stage{name, d})
			rest -= d
		}
		list = append(list, stage{"not profiled: the store's own threads", max(0, rest)})
		slices.SortFunc(list, func(a, b stage) int { return cmp.Compare(b.d, a.d) })
		for _, s := range list {
			t.row(s.name, fmt.Sprintf("%.3f", float64(s.d.Nanoseconds())/1e3/lines), fmt.Sprintf("%.1f%%", 100*float64(s.d)/float64(r.Usage.CPU)))
		}
		t.write(w)
	}
	fmt.Fprintln(w)
	t := table{{"stage", "busy, µs per line (wall)", "transactions", "failed"}}
	const prefix = `millrace_stage_busy_seconds_total{stage="`
	var names []string
	for name := range r.After {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			names = append(names, strings.TrimSuffix(rest, `"}`))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		label := `{stage="` + name + `"}`
		t.row(name, fmt.Sprintf("%.2f", r.After[prefix+name+`"}`]*1e6/lines),
			fmt.Sprint(r.After["millrace_stage_commits_total"+label]), fmt.Sprint(r.After["millrace_stage_failures_total"+label]))
	}
	t.write(w)
}

// share returns what part of the input n bytes are.
func share(n, input float64) string {
	if n == 0 {
		return "none yet" // what is not checkpointed has no size of its own
	}
	return fmt.Sprintf("1/%.1f", input/n)
}

func (r *Result) writeDisk(w io.Writer) {
	lines := float64(r.Sent.Lines)
	fmt.Fprintln(w)
	t := table{{"disk, queue drained", "MB", "bytes per line", "of the input"}}
	row := func(name string, n float64) {
		t.row(name, fmt.Sprintf("%.0f", n/1e6), fmt.Sprintf("%.1f", n/lines), share(n, float64(r.Sent.Bytes)))
	}
	row("raw rows (estimated by the store)", r.After[`millrace_store_bytes{part="events"}`])
	row("rollups (estimated by the store)", r.After[`millrace_store_bytes{part="rollups"}`])
	row("store, all files (as it reports)", r.After[`millrace_store_bytes{part="total"}`])
	row("queue", r.After["millrace_queue_bytes"])
	names := make([]string, 0, len(r.Disk))
	for name := range r.Disk {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if r.Disk[name] >= 1e6 {
			row("after the stop: "+name, float64(r.Disk[name]))
		}
	}
	t.write(w)
}

func quantiles(q Quantiles) string {
	if q.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%s / %s / %s", short(q.P50), short(q.P99), short(q.Max))
}

// micros is a time per line.
func micros(d time.Duration, lines float64) string {
	return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1e3/lines)
}

// short rounds to what matters.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1e3)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// Write reports how fresh lines were.
func (f Freshness) Write(w io.Writer, machine string, load string) {
	fmt.Fprintf(w, "\n%s\n\n", machine)
	t := table{{"a line is visible, " + load, "p50 / p99 / max", "probes"}}
	t.row("in raw rows", quantiles(f.Raw), fmt.Sprint(f.Raw.N))
	t.row("in rollups", quantiles(f.Rollup), fmt.Sprint(f.Rollup.N))
	t.write(w)
}
