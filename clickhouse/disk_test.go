package clickhouse_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/committest"
)

// TestDisk: the disks of the tables' policy are found; a policy that is not there is
// named.
func TestDisk(t *testing.T) {
	opt := database(t, server(t))
	db := open(t, opt, committest.New(clock))
	defer db.Close()
	d, err := db.Disk(t.Context())
	if err != nil || d.Server == "" || d.Free <= 0 || d.Total < d.Free {
		t.Fatalf("%+v, %v", d, err)
	}
	opt.Storage.Policy = "missing"
	other := open(t, opt, committest.New(clock)) // its tables are there already
	defer other.Close()
	if _, err := other.Disk(t.Context()); millrace.ErrorCode(err) != millrace.ErrNotFound {
		t.Errorf("%v", err)
	}
}
