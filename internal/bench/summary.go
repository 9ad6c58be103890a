package bench

import (
	"fmt"
	"io"
	"time"
)

// Row is a measurement for the summary.
type Row struct {
	Name   string
	Result *Result
	// Floor and Target are lines per second wanted until the queue is drained; 0:
	// nothing is.
	Floor, Target float64
}

// Summary compares measurements of one run as Markdown.
func Summary(w io.Writer, machine string, rows []Row) {
	fmt.Fprintf(w, "\n### Summary\n\n%s\n\n", machine)
	t := table{{
		"", "lines/s, drained", "wanted: floor, target", "stored while sending", "accepted", "CPU µs/line", "of senders",
		"peak MB", "disk B/line: store, queue", "slowest question p99",
	}}
	for _, row := range rows {
		r := row.Result
		lines := float64(r.Sent.Lines)
		wanted := "-"
		if row.Floor > 0 {
			wanted = fmt.Sprintf("%.0f, %.0f: %s", row.Floor, row.Target, verdict(r.Sustained(), row.Floor, row.Target))
		}
		t.row(row.Name, fmt.Sprintf("%.0f", r.Sustained()), wanted, fmt.Sprintf("%.0f", r.Storing()),
			fmt.Sprintf("%.0f", lines/r.Sent.Elapsed.Seconds()),
			micros(r.Usage.CPU, lines), micros(r.LoadCPU, lines), fmt.Sprintf("%.0f", float64(r.Usage.Peak)/1e6),
			fmt.Sprintf("%.0f, %.0f", r.After[`millrace_store_bytes{part="total"}`]/lines, r.After["millrace_queue_bytes"]/lines),
			slowest(r.Answers))
	}
	t.write(w)
}

func verdict(got, floor, target float64) string {
	switch {
	case got >= target:
		return "target met"
	case got >= floor:
		return "floor met"
	}
	return "missed"
}

func slowest(answers []Answers) string {
	if len(answers) == 0 {
		return "none asked"
	}
	worst := answers[0]
	failed := 0
	for _, a := range answers {
		if a.Took.P99 > worst.Took.P99 {
			worst = a
		}
		failed += a.Failed
	}
	out := short(worst.Took.P99) + ": " + worst.Name
	if failed > 0 {
		out += fmt.Sprintf("; %d failed", failed)
	}
	return out
}

// Pair is the same load sent to two servers, one after the other.
type Pair struct{ This, Other *Result }

// Ratio compares two servers by pairs as Markdown, and returns how many times as
// fast this one is: the ratio of lines per second over all pairs.
func Ratio(w io.Writer, title, machine string, pairs []Pair) float64 {
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n", title, machine)
	t := table{{"", "lines", "lines/s, drained", "CPU µs/line", "peak MB"}}
	var sum [2]struct{ lines, seconds float64 }
	for i, p := range pairs {
		for k, r := range []*Result{p.Other, p.This} {
			lines := float64(r.Sent.Lines)
			t.row(fmt.Sprintf("round %d, %s", i+1, []string{"the other", "this"}[k]), fmt.Sprint(r.Sent.Lines),
				fmt.Sprintf("%.0f", r.Sustained()), micros(r.Usage.CPU, lines), fmt.Sprintf("%.0f", float64(r.Usage.Peak)/1e6))
			sum[k].lines += lines
			sum[k].seconds += lines / r.Sustained()
		}
	}
	ratio := (sum[1].lines / sum[1].seconds) / (sum[0].lines / sum[0].seconds)
	t.row("**this / the other**", "", fmt.Sprintf("**%.2f**", ratio), "", "")
	t.write(w)
	return ratio
}

// Turn is a load sent over one wire.
type Turn struct {
	Wire   Wire
	Result *Result
}

// Protocols compares wires by their turns as Markdown: lines per second until the
// queue is drained, over all turns, and their ratio to the first of Wires.
func Protocols(w io.Writer, machine string, turns []Turn) {
	fmt.Fprintf(w, "\n### The same lines by protocol\n\n%s\n\n", machine)
	t := table{{"", "lines", "bytes a line", "lines/s, drained", "of NDJSON", "CPU µs/line", "of senders", "peak MB"}}
	row := func(name string, lines, bytes, seconds, first float64, r *Result, cpu, load time.Duration) {
		t.row(name, fmt.Sprintf("%.0f", lines), fmt.Sprintf("%.0f", bytes/lines), fmt.Sprintf("%.0f", lines/seconds),
			fmt.Sprintf("%.0f%%", 100*lines/seconds/first), micros(cpu, lines), micros(load, lines), fmt.Sprintf("%.0f", float64(r.Usage.Peak)/1e6))
	}
	first := 0.0 // lines/s of NDJSON
	for _, wire := range Wires() {
		var lines, bytes, seconds float64
		var cpu, load time.Duration
		var last *Result
		for _, turn := range turns {
			if r := turn.Result; turn.Wire == wire {
				lines += float64(r.Sent.Lines)
				bytes += float64(r.Sent.Bytes)
				seconds += float64(r.Sent.Lines) / r.Sustained()
				cpu, load, last = cpu+r.Usage.CPU, load+r.LoadCPU, r
			}
		}
		if last == nil {
			continue
		}
		if first == 0 {
			first = lines / seconds
		}
		row("**"+string(wire)+"**", lines, bytes, seconds, first, last, cpu, load)
	}
	for i, turn := range turns {
		r := turn.Result
		lines := float64(r.Sent.Lines)
		row(fmt.Sprintf("turn %d: %s", i+1, turn.Wire), lines, float64(r.Sent.Bytes), lines/r.Sustained(), first, r, r.Usage.CPU, r.LoadCPU)
	}
	t.write(w)
}
