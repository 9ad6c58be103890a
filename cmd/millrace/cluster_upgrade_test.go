package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/kafkatest"
)

// TestRollingUpgrade replaces every node of a cluster that works by the binary of
// the previous commit and back, one after the other: nothing is lost or counted
// twice, and what is visible grows all the time. MILLRACE_PREVIOUS names the other
// binary; else it is built from the repository.
func TestRollingUpgrade(t *testing.T) {
	kafkatest.Need(t)
	if os.Getenv("MILLRACE_SOAK") == "" && os.Getenv("MILLRACE_PREVIOUS") == "" {
		t.Skip("builds another binary: make soak-cluster")
	}
	other := previousBinary(t)
	c := newCluster(t, 3)
	roles := map[string]string{"ingest-1": "ingest", "ingest-2": "ingest", "query": "query", "query-2": "query"}
	order := []string{"ingest-1", "ingest-2", "query", "query-2"}
	for _, w := range workers {
		roles[w], order = "worker", append(order, w)
	}
	c.binary = other
	for _, name := range order {
		c.node(name, roles[name])
	}
	const lines = 400_000
	inputs := clusterInput(t, lines, 2*len(order))
	var feeding sync.WaitGroup
	over := make(chan struct{})
	for i := range feeders {
		state := t.TempDir()
		feeding.Go(func() {
			for _, part := range inputs.parts[i] {
				if err := c.feed(c.addrs[fmt.Sprintf("ingest-%d", 1+i%2)], state, part); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-time.After(inputs.pause / 2):
				case <-over:
				}
			}
		})
	}
	gaps := c.watchVisible(over)
	time.Sleep(3 * time.Second)
	for _, binary := range []string{"", other, ""} { // up, back, and up again
		c.binary = binary
		for _, name := range order {
			in := c.nodes[name]
			if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := in.stop(); err != nil {
				t.Errorf("node %s does not end well: %v\n%s", name, err, in.logs)
			}
			c.node(name, roles[name])
			t.Logf("%s replaced in %v", name, time.Since(began).Round(10*time.Millisecond))
		}
	}
	close(over)
	worst := <-gaps
	feeding.Wait()
	t.Logf("longest time in which nothing new was visible: %v", worst.Round(10*time.Millisecond))
	if worst > 10*time.Second {
		t.Errorf("nothing new was visible for %v", worst)
	}
	c.compare(inputs.all, lines)
}

// watchVisible asks all the time how many rows there are, whichever query node
// answers, and returns the longest time without more of them.
func (c *cluster) watchVisible(over <-chan struct{}) <-chan time.Duration {
	result := make(chan time.Duration, 1)
	go func() {
		var worst time.Duration
		var most int64
		grew := time.Now()
		for {
			select {
			case <-over:
				result <- worst
				return
			case <-time.After(200 * time.Millisecond):
			}
			for _, name := range []string{"query", "query-2"} {
				if n, err := c.rows(name); err == nil {
					if n > most {
						most, grew = n, time.Now()
					}
					break
				}
			}
			worst = max(worst, time.Since(grew))
		}
	}()
	return result
}

// previousBinary builds the commit before the newest one.
func previousBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MILLRACE_PREVIOUS"); path != "" {
		return path
	}
	src, bin := t.TempDir(), filepath.Join(t.TempDir(), "millrace-previous")
	archive, err := exec.Command("git", "-C", filepath.Join("..", ".."), "archive", "HEAD~1").Output()
	if err != nil {
		t.Skipf("no previous commit to build: %v", err)
	}
	unpack := exec.Command("tar", "-x", "-C", src)
	unpack.Stdin = bytes.NewReader(archive)
	for _, cmd := range []*exec.Cmd{unpack, exec.Command("go", "build", "-o", bin, "./cmd/millrace")} {
		cmd.Dir = src
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	return bin
}
