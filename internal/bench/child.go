package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a millrace in a process of its own.
type Server struct {
	URL  string
	Data string // its data directory
	cmd  *exec.Cmd
	logs tail // the end of its stderr
	out  tail // of its stdout
	done chan error
}

// Start runs cmd, which must serve from the directory data and say on its
// standard output where it "listens on". Stop it.
func Start(cmd *exec.Cmd, data string) (*Server, error) {
	s := &Server{Data: data, cmd: cmd, done: make(chan error, 1)}
	cmd.Stderr = &s.logs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&s.out, lines.Text())
		if _, url, ok := strings.Cut(lines.Text(), " listens on "); ok {
			s.URL = strings.TrimSpace(url)
			break
		}
	}
	go func() {
		_, _ = io.Copy(&s.out, out) // a full pipe would stop the server
		s.done <- cmd.Wait()
	}()
	if s.URL == "" {
		err := <-s.done
		return nil, s.explain(fmt.Errorf("the server ended before it listened: %w", err))
	}
	return s, nil
}

// Stop ends the server in order and returns the end of what it wrote to its log. The
// error of a server that failed has its last words.
func (s *Server) Stop() (logs string, err error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", fmt.Errorf("stop server: %w", err)
	}
	err = <-s.done
	s.done <- err
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 130 { // interrupted: what it was asked to be
		err = nil
	}
	return s.logs.String(), s.explain(err)
}

// Usage is what a process has used of the machine.
type Usage struct {
	CPU  time.Duration // user and system, of all threads
	Peak int64         // bytes resident at most so far
}

// clockTick is the unit of /proc/PID/stat, which is 100 Hz on every Linux.
const clockTick = time.Second / 100

// Usage reads the kernel's accounts of the server. It needs /proc.
func (s *Server) Usage() (Usage, error) {
	return usage(s.cmd.Process.Pid)
}

func usage(pid int) (Usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	// The command's name, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return Usage{}, fmt.Errorf("read usage: %d fields in /proc/%d/stat", len(fields), pid)
	}
	var u Usage
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("read usage: %w", err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return Usage{}, fmt.Errorf("read usage: %w", err)
			}
			u.Peak = kib << 10
		}
	}
	return u, nil
}

// ownCPU is the time that this process has used, user and system.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read own usage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// DiskUse adds up what the files below dir take on disk, by the first part of
// their path in it: sparse and preallocated files count as what they occupy.
func DiskUse(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
				return nil
			}
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		size := info.Size()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			size = st.Blocks * 512
		}
		sizes[strings.Split(filepath.ToSlash(rel), "/")[0]] += size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", dir, err)
	}
	return sizes, nil
}
