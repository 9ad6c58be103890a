package clickhouse

import "strings"

// localSuffix is what the tables of one server have behind their names in a
// cluster.
const localSuffix = "_local"

// table returns the name to read a table by and to insert into: with a cluster the
// Distributed table.
func (db *DB) table(name string) string { return ident(db.addr.database) + "." + ident(name) }

// local returns the name to alter a table by, with the clause that reaches all
// servers of a cluster: ALTER TABLE <local> DELETE ...
func (db *DB) local(name string) string {
	if db.addr.cluster == "" {
		return db.table(name)
	}
	return db.table(name+localSuffix) + db.onCluster()
}

func (db *DB) onCluster() string {
	if db.addr.cluster == "" {
		return ""
	}
	return " ON CLUSTER " + ident(db.addr.cluster)
}

// visible is the condition that leaves out rows of abandoned flushes. Every server
// has the whole table of them.
func (db *DB) visible() string {
	return "flush NOT IN (SELECT flush FROM " + db.hiddenTable() + ")"
}

// hiddenTable names the flushes that do not count; it has no Distributed table.
func (db *DB) hiddenTable() string { return ident(db.addr.database) + ".hidden_flushes" }

// ident quotes a name.
func ident(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// quote returns a text literal. Texts are bytes in ClickHouse; those that its
// parser or a line-oriented log could trip over are escaped.
func quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\'', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case 0:
			b.WriteString(`\0`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
