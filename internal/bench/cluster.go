package bench

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ClusterResult is what a load showed on one or several processes that work
// together.
type ClusterResult struct {
	Lines   int64
	Sending time.Duration            // until the last line was accepted
	Elapsed time.Duration            // until both sinks had stored it
	CPU     map[string]time.Duration // by process, its children included
	// Requested is how long requests took, one Quantiles per address sent to.
	Requested []Quantiles
	// Store is what the database says of itself, as it prints; nil if it says nothing.
	Store []StoreWork
}

// StoreWork is how often a database had the rows of a table in hand.
type StoreWork struct {
	Table   string
	Inserts int64 // parts that insertions made
	Rows    int64 // inserted
	Merges  int64
	Merged  int64 // rows written again by merges
}

// PerSecond is lines stored a second.
func (r *ClusterResult) PerSecond() float64 { return float64(r.Lines) / r.Elapsed.Seconds() }

// WriteCluster compares a run on one process with one on several, as Markdown.
func WriteCluster(w io.Writer, machine string, one, many *ClusterResult) {
	if one == nil { // was left out
		one = &ClusterResult{Sending: 1, Elapsed: 1}
	}
	ratio := ""
	if one.Lines > 0 {
		ratio = fmt.Sprintf(" (%.0f%%)", 100*many.PerSecond()/one.PerSecond())
	}
	fmt.Fprintf(w, "\n### One process, and two nodes with Kafka, ClickHouse and PostgreSQL\n\n%s\n\n", machine)
	t := table{{"", "one process", "two nodes"}}
	t.row("lines", fmt.Sprint(one.Lines), fmt.Sprint(many.Lines))
	t.row("lines/s until the queue is drained", fmt.Sprintf("%.0f", one.PerSecond()), fmt.Sprintf("%.0f", many.PerSecond())+ratio)
	t.row("lines/s accepted", fmt.Sprintf("%.0f", float64(one.Lines)/one.Sending.Seconds()), fmt.Sprintf("%.0f", float64(many.Lines)/many.Sending.Seconds()))
	t.row("answer to a request, median", requested(one), requested(many))
	t.row("processors busy with these", busy(one), busy(many))
	t.processes(one, many)
	t.row("in all", total(one), total(many))
	t.write(w)
	writeReadings(w, one, many)
	writeStore(w, many.Store)
}

// writeReadings says what the figures mean for the aim of 75%: with the servers on
// the same processors, and by the nodes' own work alone, as where the servers have
// machines of their own.
func writeReadings(w io.Writer, one, many *ClusterResult) {
	if one.Lines == 0 {
		return
	}
	alone, all, nodes := cpuLine(one, anyProcess), cpuLine(many, anyProcess), cpuLine(many, isNode)
	t := table{{"aim: 75% of one process", "one process", "two nodes", ""}}
	ratio := func(a, b float64) string { return fmt.Sprintf("%.0f%%", 100*a/b) }
	t.row("servers on the same processors, lines/s", fmt.Sprintf("%.0f", one.PerSecond()), fmt.Sprintf("%.0f", many.PerSecond()), ratio(many.PerSecond(), one.PerSecond()))
	t.row("the same by CPU: µs a line of all processes", fmt.Sprintf("%.2f", alone), fmt.Sprintf("%.2f", all), ratio(alone, all))
	t.row("servers elsewhere, by CPU: µs a line of millrace", fmt.Sprintf("%.2f", alone), fmt.Sprintf("%.2f", nodes), ratio(alone, nodes))
	fmt.Fprintln(w)
	t.write(w)
}

func anyProcess(string) bool { return true }

// isNode tells millrace's own processes from the servers'.
func isNode(name string) bool { return name == "millrace" || strings.HasPrefix(name, "node-") }

// cpuLine is how many µs of CPU a line took of the processes that of names.
func cpuLine(r *ClusterResult, of func(string) bool) float64 {
	var all time.Duration
	for name, cpu := range r.CPU {
		if of(name) {
			all += cpu
		}
	}
	return float64(all.Microseconds()) / float64(r.Lines)
}

// WriteDrained compares how fast one process and two workers store what waits in the
// queue, the two with servers that cost nothing.
func WriteDrained(w io.Writer, machine string, one, many *ClusterResult) {
	fmt.Fprintf(w, "\n### What waits in the queue: one process, and two workers whose ClickHouse only takes\n\n%s\n\n", machine)
	t := table{{"", "one process", "two workers"}}
	t.row("lines", fmt.Sprint(one.Lines), fmt.Sprint(many.Lines))
	t.row("lines/s stored", fmt.Sprintf("%.0f", one.PerSecond()),
		fmt.Sprintf("%.0f (%.0f%%)", many.PerSecond(), 100*many.PerSecond()/one.PerSecond()))
	t.row("processors busy with these", busy(one), busy(many))
	t.processes(one, many)
	t.row("in all", total(one), total(many))
	t.write(w)
}

// processes adds a row per process.
func (t *table) processes(one, many *ClusterResult) {
	names := slices.Sorted(maps.Keys(many.CPU))
	for name := range one.CPU {
		if !slices.Contains(names, name) {
			names = append([]string{name}, names...)
		}
	}
	for _, name := range names {
		t.row("µs of CPU per line: "+name, perLine(one, name), perLine(many, name))
	}
}

// writeStore says what a database did with the rows of each table.
func writeStore(w io.Writer, all []StoreWork) {
	if len(all) == 0 {
		return
	}
	t := table{{"table in ClickHouse", "insertions", "rows", "merges", "passes over the rows"}}
	for _, s := range all {
		t.row(s.Table, fmt.Sprint(s.Inserts), fmt.Sprint(s.Rows), fmt.Sprint(s.Merges), fmt.Sprintf("%.1f", float64(s.Merged)/float64(max(s.Rows, 1))))
	}
	fmt.Fprintln(w)
	t.write(w)
}

func requested(r *ClusterResult) string {
	var all []string
	for _, q := range r.Requested {
		all = append(all, q.P50.Round(time.Millisecond).String())
	}
	return strings.Join(all, ", ")
}

// busy is how many processors the processes took on average; what is missing to
// those that the machine has went into the senders, into other work, or nobody
// had anything to do.
func busy(r *ClusterResult) string {
	var all time.Duration
	for _, cpu := range r.CPU {
		all += cpu
	}
	return fmt.Sprintf("%.2f", all.Seconds()/r.Elapsed.Seconds())
}

func perLine(r *ClusterResult, name string) string {
	cpu, ok := r.CPU[name]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(cpu.Microseconds())/float64(r.Lines))
}

func total(r *ClusterResult) string {
	var all time.Duration
	for _, cpu := range r.CPU {
		all += cpu
	}
	return fmt.Sprintf("%.2f", float64(all.Microseconds())/float64(r.Lines))
}

// TreeCPU returns the processor time of a process and of all its descendants. It
// needs /proc.
func TreeCPU(pid int) (time.Duration, error) {
	u, err := usage(pid)
	if err != nil {
		return 0, err
	}
	all := u.CPU
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, path := range dirs {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if cpu, err := TreeCPU(child); err == nil {
			all += cpu
		}
	}
	return all, nil
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }
