package clickhouse

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// Disk is the space of the server that has the least of it left for raw rows: all
// disks of their storage policy together, since full ones hand their parts on to the
// next volume. Object storage counts as disks without end. Bytes.
type Disk struct {
	Server      string
	Free, Total int64
}

// endless is more than any disk has, in bytes: object storage says that it has 16 EiB.
const endless = "1e18"

// Disk asks every server of the cluster how much space it has left.
func (db *DB) Disk(ctx context.Context) (*Disk, error) {
	disks, policies := "system.disks", "system.storage_policies"
	if db.addr.cluster != "" {
		disks = "clusterAllReplicas(" + quote(db.addr.cluster) + ", " + disks + ")"
	}
	policy := db.opt.Storage.Policy
	if policy == "" {
		policy = "default"
	}
	d := &Disk{}
	err := db.query(ctx, "look at the disks", fmt.Sprintf(`SELECT hostName() AS server,
		toInt64(least(sum(toFloat64(free_space)), %[1]s)) AS free, toInt64(least(sum(toFloat64(total_space)), %[1]s)) AS total
		FROM %[2]s WHERE name IN (SELECT arrayJoin(disks) FROM %[3]s WHERE policy_name = %[4]s)
		GROUP BY server ORDER BY free / total LIMIT 1`, endless, disks, policies, quote(policy)), func(rows driver.Rows) error {
		return rows.Scan(&d.Server, &d.Free, &d.Total)
	})
	if err != nil {
		return nil, err
	}
	if d.Total == 0 {
		return nil, millrace.Errorf(millrace.ErrNotFound, "look at the disks: the storage policy %q has none", policy)
	}
	return d, nil
}
