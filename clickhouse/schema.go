package clickhouse

// hiddenFlushes has the flushes whose rows do not count. It is small: a row goes
// when nothing is left to hide.
var hiddenFlushes = tableDef{
	name:    "hidden_flushes",
	columns: "    flush UInt64,\n    hidden DateTime64(3, 'UTC')",
	engine:  "MergeTree",
	tail:    "ORDER BY flush",
}

func baseSchema(a *address, _ *Options) []string {
	return a.create(&hiddenFlushes)
}
