// Command fetch downloads the Apache Kafka that the cluster tests run, unless it
// is there already, and prints the directory of its jars.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/millrace/millrace/internal/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := kafkatest.Fetch(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop is called
	}
	fmt.Println(dir)
}
