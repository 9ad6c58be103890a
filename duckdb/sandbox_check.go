package duckdb

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"
	"sync"

	"github.com/millrace/millrace"
)

// publicTables are the names statements may read, besides rollup_NAME and
// their own common table expressions.
var publicTables = map[string]bool{
	"events": true, "exceptions": true, "ledger": true, "gaps": true, "positions": true, "segments": true, "set_aside": true,
}

// functionList is every function that statements may call, one a line. It was
// made from duckdb_functions() by leaving out what reaches outside the query
// (files, settings, other statements as text, sequences, logs, sleeping) and
// what makes much out of little in one step, which no interrupt can stop and no
// memory limit sees: repeat, lpad, range as a list, format with widths, and the
// like. Table functions: generate_series, json_each, json_tree, range, unnest.
//
//go:embed sql_functions.txt
var functionList string

var allowedFunctions = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for f := range strings.FieldsSeq(functionList) {
		m[f] = true
	}
	return m
})

var tableFunctions = map[string]bool{
	"generate_series": true, "json_each": true, "json_tree": true, "range": true, "unnest": true,
}

// growing functions return something as long as all their arguments together.
// Their arguments are counted over the statement, since 5,000 references to one
// column would make gigabytes out of one chunk of rows.
var growing = map[string]bool{
	"||": true, "concat": true, "concat_ws": true, "list_concat": true, "list_cat": true, "array_cat": true,
	"array_concat": true, "list_value": true, "list_pack": true, "array_value": true, "replace": true,
	"regexp_replace": true, "list_append": true, "list_prepend": true, "json_merge_patch": true, "map_concat": true,
	"json_object": true, "json_array": true, "struct_pack": true, "row": true, "array_to_string": true, "map": true,
}

const maxGrowing = 100

// expanding functions return more than they are given, up to eight times;
// nested a few times deep that is a lot.
var expanding = map[string]bool{
	"hex": true, "to_hex": true, "bin": true, "to_binary": true, "base64": true, "to_base64": true, "url_encode": true,
	"to_json": true, "json_quote": true, "json_pretty": true, "regexp_escape": true, "decode": true, "upper": true,
	"array_to_json": true, "row_to_json": true, "md5": true, "string_split": true, "str_split": true, "split": true,
	"string_to_array": true, "regexp_extract_all": true, "regexp_split_to_array": true, "str_split_regex": true,
	"string_split_regex": true,
}

const maxExpanding = 12

// maxReplacement bounds the text that replace puts in for each match.
const maxReplacement = 100

// checkStatement parses a statement with DuckDB's own parser and walks the tree.
func checkStatement(ctx context.Context, c *conn, query string) error {
	r, err := c.query(ctx, "SELECT json_serialize_sql(?::VARCHAR)", query)
	if err != nil {
		return err
	}
	defer r.close()
	if !r.next() {
		return r.err
	}
	var tree struct {
		Error   bool              `json:"error"`
		Message string            `json:"error_message"`
		Stmts   []json.RawMessage `json:"statements"`
	}
	if err := json.Unmarshal(r.bytes(0), &tree); err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "sql: the statement cannot be checked: %v", err)
	}
	switch {
	case tree.Error && strings.HasPrefix(tree.Message, "Only SELECT"):
		return millrace.Errorf(millrace.ErrInvalid, "sql: only SELECT is allowed")
	case tree.Error:
		return millrace.Errorf(millrace.ErrInvalid, "sql: %s", tree.Message)
	case len(tree.Stmts) != 1:
		return millrace.Errorf(millrace.ErrInvalid, "sql: %d statements; one is allowed", len(tree.Stmts))
	}
	var node any
	if err := json.Unmarshal(tree.Stmts[0], &node); err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "sql: the statement cannot be checked: %v", err)
	}
	ck := &checker{ctes: map[string]bool{}}
	ck.collect(node)
	return ck.check(node, standing{})
}

// checker walks a syntax tree as JSON. What it looks for it recognizes by the
// presence of a key, wherever it stands, so that a kind of node unknown here is
// still searched.
type checker struct {
	ctes      map[string]bool
	growing   int // arguments of growing functions
	expanding int // calls of expanding functions
}

// collect gathers the names of common table expressions. Scopes are ignored: a
// name that is one anywhere passes everywhere. That opens no internal table,
// since those are refused as names of expressions too.
func (ck *checker) collect(node any) {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			ck.collect(v)
		}
	case map[string]any:
		if ctes, ok := n["cte_map"].(map[string]any); ok {
			list, _ := ctes["map"].([]any)
			for _, v := range list {
				if m, ok := v.(map[string]any); ok {
					name, _ := m["key"].(string)
					ck.ctes[strings.ToLower(name)] = true
				}
			}
		}
		for _, v := range n {
			ck.collect(v)
		}
	}
}

// standing says where a node stands.
type standing struct {
	table  bool // it is the function of a table function
	lambda bool // it is inside a lambda
}

// check refuses what is not allowed.
func (ck *checker) check(node any, at standing) error {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			if err := ck.check(v, standing{lambda: at.lambda}); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := ck.node(n, at); err != nil {
			return err
		}
		inside := at.lambda || n["class"] == "LAMBDA"
		for k, v := range n {
			if err := ck.check(v, standing{n["type"] == "TABLE_FUNCTION" && k == "function", inside}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ck *checker) node(n map[string]any, at standing) error {
	if n["class"] == "LAMBDA" && at.lambda { // makes lists of the product of their lengths in one step
		return millrace.Errorf(millrace.ErrInvalid, "sql: a lambda within a lambda is not allowed")
	}
	if list, ok := n["select_list"].([]any); ok {
		if err := checkAliases(list, n); err != nil {
			return err
		}
	}
	if name, ok := n["function_name"].(string); ok {
		if err := ck.function(name, n, at.table); err != nil {
			return err
		}
	}
	name, ok := n["table_name"].(string)
	if !ok {
		return nil
	}
	if n["type"] == "SHOW_REF" && n["query"] != nil { // DESCRIBE or SUMMARIZE; its query is checked by itself
		return nil
	}
	schema, _ := n["schema_name"].(string)
	catalog, _ := n["catalog_name"].(string)
	lower := strings.ToLower(name)
	if n["type"] == "BASE_TABLE" && catalog == "" && (schema == "" || schema == "main") && n["at_clause"] == nil {
		if publicTables[lower] || strings.HasPrefix(lower, "rollup_") || schema == "" && ck.ctes[lower] && !internalTable(lower) {
			return nil
		}
	}
	for _, part := range []string{schema, catalog} {
		if part != "" {
			name = part + "." + name
		}
	}
	if lower == "issues" {
		return millrace.ErrNoIssuesTable
	}
	return millrace.Errorf(millrace.ErrInvalid,
		"sql: %s: no such table; there are events, exceptions, ledger, gaps, positions, segments, set_aside and rollup_NAME", name)
}

// internalTable reports whether a name could be a table of the store's own.
func internalTable(lower string) bool {
	for _, prefix := range []string{
		"events_", "clients", "ledger_rows", "admitted", "meta_version", "rollups", "cell_",
		"deltas_", "minutes_", "hours_", "days_", "values_", "duckdb_", "pg_", "sqlite_", "pragma_",
	} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return false
}

func (ck *checker) function(name string, n map[string]any, table bool) error {
	lower := strings.ToLower(name)
	if table && !tableFunctions[lower] || !table && !allowedFunctions()[lower] {
		return millrace.Errorf(millrace.ErrInvalid, "sql: the function %s is not available here", name)
	}
	args, _ := n["children"].([]any)
	if growing[lower] {
		ck.growing += len(args)
	}
	if expanding[lower] {
		ck.expanding++
	}
	switch {
	case ck.growing > maxGrowing:
		return millrace.Errorf(millrace.ErrTooLarge, "sql: the statement puts together more than %d values by || and functions such as concat", maxGrowing)
	case ck.expanding > maxExpanding:
		return millrace.Errorf(millrace.ErrTooLarge, "sql: the statement calls functions such as %s more than %d times", name, maxExpanding)
	case (lower == "replace" || lower == "regexp_replace") && (len(args) < 3 || !shortConstant(args[2])):
		return millrace.Errorf(millrace.ErrInvalid, "sql: the third argument of %s must be a text literal of at most %d bytes", name, maxReplacement)
	}
	return nil
}

// maxExpanded bounds the expressions of one SELECT after its aliases are
// replaced by what they stand for. DuckDB copies them, so that fifteen aliases
// that each use the one before twice keep it busy for 15 seconds, deaf to
// interrupts.
const maxExpanded = 2000

func checkAliases(list []any, sel map[string]any) error {
	sizes := map[string]int{}
	total := 0
	for _, item := range list {
		size := expandedSize(item, sizes)
		total = min(total+size, maxExpanded+1)
		if m, ok := item.(map[string]any); ok {
			if alias, _ := m["alias"].(string); alias != "" {
				sizes[strings.ToLower(alias)] = size
			}
		}
	}
	for _, clause := range []string{"where_clause", "having", "qualify", "group_expressions", "modifiers"} {
		total += expandedSize(sel[clause], sizes)
	}
	if total > maxExpanded {
		return millrace.Errorf(millrace.ErrTooLarge, "sql: with column aliases written out, a SELECT has more than %d terms", maxExpanded)
	}
	return nil
}

// expandedSize counts the expressions in node, aliases written out, up to a
// little over the limit.
func expandedSize(node any, aliases map[string]int) int {
	total := 0
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			total = min(total+expandedSize(v, aliases), maxExpanded+1)
		}
	case map[string]any:
		if n["class"] != nil {
			total = 1
		}
		if names, ok := n["column_names"].([]any); ok && len(names) > 0 {
			last, _ := names[len(names)-1].(string)
			return 1 + aliases[strings.ToLower(last)]
		}
		for _, v := range n {
			total = min(total+expandedSize(v, aliases), maxExpanded+1)
		}
	}
	return total
}

// shortConstant reports whether an expression is a short text literal.
func shortConstant(node any) bool {
	n, _ := node.(map[string]any)
	value, _ := n["value"].(map[string]any)
	text, ok := value["value"].(string)
	return ok && n["class"] == "CONSTANT" && len(text) <= maxReplacement
}
