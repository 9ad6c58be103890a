package kafkatest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCluster checks that three brokers elect another leader when one dies, that
// a topic takes records meanwhile, and that the dead one catches up.
func TestCluster(t *testing.T) {
	c := Start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	insync := "2"
	if _, err := c.Admin().CreateTopic(ctx, 1, 3, map[string]*string{"min.insync.replicas": &insync}, "t"); err != nil {
		t.Fatal(err)
	}
	if err := c.InSync(ctx, "t", 3); err != nil {
		t.Fatal(err)
	}
	leader, err := c.Leader(ctx, "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(leader); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Client().ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	t.Logf("a new leader takes records %v after the kill", time.Since(began))
	if now, err := c.Leader(ctx, "t", 0); err != nil || now == leader {
		t.Errorf("leader %d, %v", now, err)
	}
	if err := c.Restart(leader); err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.InSync(ctx, "t", 3); err != nil {
		t.Fatal(err)
	}
}
