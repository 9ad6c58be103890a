//go:build !linux || !amd64

// Command chserver is a real ClickHouse engine for tests, on Linux on amd64.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chserver: the library exists for Linux on amd64 only")
	os.Exit(1)
}
