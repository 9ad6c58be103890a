package clickhouse

import (
	"context"
	"strings"
)

// tableDef describes a table once for one server and for a cluster.
type tableDef struct {
	name    string
	columns string // column and index definitions, without the parentheses
	// engine is a member of the MergeTree family with its arguments, such as
	// ReplacingMergeTree(version). In a cluster it becomes the replicated one.
	engine string
	tail   string // PARTITION BY, ORDER BY, TTL, SETTINGS
	// shardBy is the expression by which the Distributed table sends rows to
	// shards: rows of one flush should stay together. Empty: all servers of the
	// cluster have the same rows, and there is no Distributed table.
	shardBy string
}

// create returns the statements that make a table unless it is there.
func (a *address) create(t *tableDef) []string {
	db, tail := ident(a.database)+".", a.tail(t)
	if a.cluster == "" {
		return []string{"CREATE TABLE IF NOT EXISTS " + db + ident(t.name) + "\n(\n" + t.columns + "\n)\nENGINE = " + t.engine + "\n" + tail}
	}
	on := " ON CLUSTER " + ident(a.cluster)
	local, path, replica := t.name, "all", "{shard}-{replica}"
	if t.shardBy != "" {
		local, path, replica = t.name+localSuffix, "{shard}", "{replica}"
	}
	out := []string{"CREATE TABLE IF NOT EXISTS " + db + ident(local) + on + "\n(\n" + t.columns + "\n)\nENGINE = " +
		replicated(t.engine, "/clickhouse/tables/"+path+"/"+a.database+"/"+local, replica) + "\n" + tail}
	if t.shardBy != "" {
		out = append(out, "CREATE TABLE IF NOT EXISTS "+db+ident(t.name)+on+" AS "+db+ident(local)+"\nENGINE = Distributed("+
			ident(a.cluster)+", "+ident(a.database)+", "+ident(local)+", "+t.shardBy+")")
	}
	return out
}

// tail is what follows the engine, with the settings that all tables have.
func (a *address) tail(t *tableDef) string {
	if !a.statistics {
		return t.tail
	}
	if strings.Contains(t.tail, "SETTINGS ") {
		return t.tail + ", " + noStatistics
	}
	return t.tail + "\nSETTINGS " + noStatistics
}

// noStatistics keeps merges from estimating, for every column of every table, its
// range and how many distinct values it has, as 26.7 does: 3 µs a row of 430 bytes
// and merge. No query here has a use for it.
const noStatistics = "auto_statistics_types = ''"

// replicated puts the place in Keeper and the replica's name before an engine's own
// arguments. Both have macros, which every server of a cluster defines.
func replicated(engine, path, replica string) string {
	name, args, _ := strings.Cut(strings.TrimSuffix(engine, ")"), "(")
	all := quote(path) + ", " + quote(replica)
	if args != "" {
		all += ", " + args
	}
	return "Replicated" + name + "(" + all + ")"
}

// createTable makes a table unless it is there, on all servers.
func (db *DB) createTable(ctx context.Context, t *tableDef) error {
	return db.ddl(ctx, "create table "+t.name, db.addr.create(t))
}

// ddl runs statements that may be run again, one after the other.
func (db *DB) ddl(ctx context.Context, op string, statements []string) error {
	for _, s := range statements {
		if err := db.exec(ctx, op, s); err != nil {
			return err
		}
	}
	return nil
}
