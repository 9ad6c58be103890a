package clickhouse_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

func TestContract(t *testing.T) {
	s := server(t)
	type kept struct {
		opt     clickhouse.Options
		commits *committest.Memory
	}
	dirs := map[string]*kept{}
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T, dir string) millrace.Store {
		k := dirs[dir]
		if k == nil {
			k = &kept{database(t, s), committest.New(clock)}
			dirs[dir] = k
		}
		return open(t, k.opt, k.commits)
	}})
}
