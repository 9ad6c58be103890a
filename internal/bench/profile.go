package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// stages attribute a stack to a stage by the first of these that one of its
// functions contains. The order decides: a Store called by the pipeline is the
// store's work, decoding called by ingest is ingest's.
var stages = []struct{ stage, function string }{
	{"store: raw rows", "duckdb.(*DB).WriteEvents"},
	{"store: rollups", "duckdb.(*DB).WriteCells"},
	{"store: hours and days", "duckdb.(*DB).computePeriods"},
	{"store: other maintenance", "duckdb.(*DB).Maintain"},
	{"queries", "/query.(*Service)"},
	{"ledger and status", "duckdb.(*DB).Ledger"},
	{"ledger and status", "duckdb.(*DB).Stats"},
	{"start and stop, not measured", "duckdb.(*DB).Close"},
	{"start and stop, not measured", "duckdb.(*DB).DefineRollups"},
	{"start and stop, not measured", "duckdb.Open"},
	{"queries", "duckdb.(*DB)."},
	{"store: goroutines of its own", "millrace/duckdb."},
	{"queue: compression", "klauspost/compress/s2."},
	{"queue: broker", "franz-go/pkg/kfake"},
	{"ingest", "millrace/ingest."},
	{"decode", "millrace/decode."},
	// The engine's work is done by its workers, so calls of the engine alone say little.
	{"rollup: encode", "rollup.(*encoder)"},
	{"rollup: derive and emit", "rollup.(*table).derive"},
	{"rollup: derive and emit", "rollup.(*batch)"},
	{"rollup: sketches", "rollup.(*table).sketch"},
	{"rollup: sketches", "millrace/sketch."},
	{"rollup: plan", "rollup.makePlan"},
	{"rollup: cells", "millrace/rollup."},
	{"queue: client", "millrace/queue."},
	{"queue: client", "franz-go/pkg/kgo"},
	{"pipeline: rows and accounts", "millrace/pipeline."},
	{"HTTP", "net/http."},
	{"garbage collector", "runtime.gcBgMarkWorker"},
	{"garbage collector", "runtime.bgsweep"},
	{"garbage collector", "runtime.bgscavenge"},
	{"store: own threads", "runtime._ExternalCode"},
}

// otherStage is what no stage's functions are in: the scheduler, mostly.
const otherStage = "Go runtime and the rest"

// Profile returns the CPU time per stage of a CPU profile that the server of
// the binary wrote. It asks `go tool pprof`. Threads of libraries that Go does
// not know are not in a profile.
func Profile(ctx context.Context, binary, profile string) (map[string]time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-unit=us", binary, profile)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read profile: %w: %s", err, stderr.String())
	}
	return parseTraces(out)
}

// parseTraces reads the output of pprof -traces: stacks between lines of
// dashes, the innermost function first, with the value before it.
func parseTraces(text []byte) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	var value time.Duration
	var stack []string
	end := func() {
		if len(stack) > 0 {
			out[stageOf(stack)] += value
		}
		stack = stack[:0]
	}
	begun := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "-----------+") {
			end()
			begun = true
			continue
		}
		fields := strings.Fields(line)
		if !begun || len(fields) == 0 || strings.HasSuffix(fields[0], ":") { // labels
			continue
		}
		if len(stack) == 0 && strings.HasSuffix(fields[0], "us") && len(fields) > 1 {
			d, err := time.ParseDuration(fields[0])
			if err != nil {
				return nil, fmt.Errorf("read profile: %q: %w", line, err)
			}
			value, fields = d, fields[1:]
		}
		stack = append(stack, strings.Join(fields, " "))
	}
	end()
	return out, lines.Err()
}

func stageOf(stack []string) string {
	for _, s := range stages {
		for _, f := range stack {
			if strings.Contains(f, s.function) {
				return s.stage
			}
		}
	}
	return otherStage
}
