package kafkatest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed pom.xml
var pom []byte

// jarSums lists the jars as sha256sum prints them. After a change of pom.xml:
// fetch fails and says where the new jars lie; look at what changed and replace
// the list by what sha256sum says of them.
//
//go:embed jars.sha256
var jarSums []byte

// cacheDir is where everything that tests download is kept.
func cacheDir() (string, error) {
	if dir := os.Getenv("MILLRACE_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir() // obeys XDG_CACHE_HOME
	return filepath.Join(dir, "millrace-test"), err
}

// jarsDir is named after the list, so that versions live side by side.
func jarsDir() (string, error) {
	dir, err := cacheDir()
	sum := sha256.Sum256(jarSums)
	return filepath.Join(dir, "kafka-"+hex.EncodeToString(sum[:6])), err
}

// Jars returns the directory of the broker's jars, all checked. The error says
// how to get them if they are missing.
func Jars() (string, error) {
	dir, err := jarsDir()
	if err != nil {
		return "", err
	}
	if err := checkJars(dir); err != nil {
		return "", fmt.Errorf("the jars of Apache Kafka: %w; run: go run ./internal/kafkatest/fetch", err)
	}
	return dir, nil
}

// checkJars reports the first jar that is missing, different or not listed.
func checkJars(dir string) error {
	want := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(jarSums))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return fmt.Errorf("jars.sha256: line %q", lines.Text())
		}
		want[name] = sum
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range have {
		if want[e.Name()] == "" {
			return fmt.Errorf("%s is not in the list", filepath.Join(dir, e.Name()))
		}
	}
	for name, sum := range want {
		got, err := sumOf(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != sum {
			return fmt.Errorf("%s has checksum %s, the list says %s", filepath.Join(dir, name), got, sum)
		}
	}
	return nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fetchAttempts and fetchTimeout bound a download of about 45 MB.
const (
	fetchAttempts = 4
	fetchTimeout  = 5 * time.Minute
)

// Fetch downloads the jars with Maven, unless they are there, and returns their
// directory. Processes that fetch at the same time wait for each other. What
// Maven says goes to out.
func Fetch(ctx context.Context, out io.Writer) (string, error) {
	dir, err := jarsDir()
	if err != nil {
		return "", err
	}
	if checkJars(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if checkJars(dir) == nil {
		return dir, nil // another process was faster
	}
	for attempt := 1; ; attempt++ {
		if err = download(ctx, dir, out); err == nil {
			return dir, nil
		}
		if attempt == fetchAttempts || ctx.Err() != nil {
			return "", fmt.Errorf("fetch Apache Kafka: %w", err)
		}
		fmt.Fprintf(out, "attempt %d failed: %v\n", attempt, err)
		time.Sleep(time.Duration(attempt) * 3 * time.Second)
	}
}

// download puts checked jars in place of dir.
func download(ctx context.Context, dir string, out io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("maven is needed: apt-get install maven")
	}
	temp := dir + ".new"
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(temp, 0o755)); err != nil {
		return err
	}
	project := filepath.Join(temp, "pom.xml")
	if err := os.WriteFile(project, pom, 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	jars := filepath.Join(temp, "jars")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", project,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("maven: %w", err)
	}
	if err := checkJars(jars); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), os.Rename(jars, dir), os.RemoveAll(temp))
}
