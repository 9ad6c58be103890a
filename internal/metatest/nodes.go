package metatest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// RunNodes tests an implementation of millrace.Nodes. open returns an empty one
// and sees to its end.
func RunNodes(t *testing.T, open func(t *testing.T) millrace.Nodes) {
	t.Run("nodes", func(t *testing.T) { nodes(t, t.Context(), open(t)) })
}

func nodes(t *testing.T, ctx context.Context, m millrace.Nodes) {
	say := func(name string, instance int64, info string, wantOther bool) {
		t.Helper()
		other, err := m.Announce(ctx, &millrace.Node{Name: name, Instance: instance, Info: []byte(info)})
		check(t, err)
		if other != wantOther {
			t.Errorf("%s: other %v, want %v", name, other, wantOther)
		}
	}
	want := func(want string) {
		t.Helper()
		list, err := m.Nodes(ctx)
		check(t, err)
		got := ""
		for _, n := range list {
			got += fmt.Sprintf("%s %d %s;", n.Name, n.Instance, n.Info)
			if n.Age < 0 || n.Age > time.Minute {
				t.Errorf("%s was seen %v ago", n.Name, n.Age)
			}
		}
		if got != want {
			t.Errorf("nodes %q, want %q", got, want)
		}
	}
	want("")
	say("b", 1, `{"roles":["worker"]}`, false)
	say("ä", 2, `{}`, false)
	say("a", 3, `{}`, false)
	say("a", 3, `{"x":1}`, false)
	want(`a 3 {"x":1};b 1 {"roles":["worker"]};ä 2 {};`)
	say("a", 4, `{}`, true)
	say("a", 4, `{}`, false)
	say("a", 3, `{}`, true) // the other is still there
	check(t, m.Withdraw(ctx, &millrace.Node{Name: "a", Instance: 4}))
	check(t, m.Withdraw(ctx, &millrace.Node{Name: "b", Instance: 1}))
	want(`a 3 {};ä 2 {};`)
	list, err := m.Nodes(ctx)
	check(t, err)
	before := list[0].Age
	time.Sleep(10 * time.Millisecond)
	list, err = m.Nodes(ctx)
	check(t, err)
	if list[0].Age <= before {
		t.Errorf("age %v, then %v", before, list[0].Age)
	}
}
