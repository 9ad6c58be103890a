package query

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace"
)

func TestAssign(t *testing.T) {
	c := Cluster{
		Partitions: []ClusterPartition{{Partition: 0}, {Partition: 1, Owner: "old"}, {Partition: 2}, {Partition: 3}},
		Nodes: []ClusterNode{
			{Name: "a", Age: 1, NodeInfo: NodeInfo{Partitions: []int32{0, 1}}},
			{Name: "b", Age: 0.5, NodeInfo: NodeInfo{Partitions: []int32{1}}},
			{Name: "dead", Age: 60, NodeInfo: NodeInfo{Partitions: []int32{0, 2}}},
		},
	}
	c.Assign()
	for i, want := range []string{"a", "b", "", ""} {
		if got := c.Partitions[i].Owner; got != want {
			t.Errorf("partition %d belongs to %q, want %q", i, got, want)
		}
	}
}

func TestPlanChange(t *testing.T) {
	p := millrace.Plan{FlushRows: 5, MaxRate: 1000, Pause: true, Drain: []string{"a"}}
	if got := (&PlanChange{}).Apply(p); !reflect.DeepEqual(got, p) {
		t.Errorf("%+v", got)
	}
	rows, rate, pause, drain := 0, 0.0, false, []string{"c", "b", "c"}
	got := (&PlanChange{FlushRows: &rows, MaxRate: &rate, Pause: &pause, Drain: &drain}).Apply(p)
	if want := (millrace.Plan{Drain: []string{"b", "c"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
