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
	names := slices.Sorted(maps.Keys(many.CPU))
	for name := range one.CPU {
		if !slices.Contains(names, name) {
			names = append([]string{name}, names...)
		}
	}
	for _, name := range names {
		t.row("µs of CPU per line: "+name, perLine(one, name), perLine(many, name))
	}
	t.row("in all", total(one), total(many))
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
