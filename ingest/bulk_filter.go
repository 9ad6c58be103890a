package ingest

import (
	"net/url"
	"path"
	"strings"
)

// bulkFields are the fields of an item's answer that filter_path may ask for.
var bulkFields = [...]string{
	"_index", "_id", "_version", "result", "_shards.total", "_shards.successful", "_shards.failed",
	"_seq_no", "_primary_term", "status", "error.type", "error.reason",
}

const (
	fieldIndex = iota
	fieldID
	fieldVersion
	fieldResult
	fieldShardsTotal
	fieldShardsSuccessful
	fieldShardsFailed
	fieldSeqNo
	fieldTerm
	fieldStatus
	fieldErrorType
	fieldErrorReason
)

// bulkFilter says which fields of the answer to a _bulk request are wanted:
// Elasticsearch's filter_path ("Common options: Response filtering"), a list of
// dotted paths in which * stands for any part of a name and ** for any names, and
// a path that begins with - takes away. Most clients want errors and statuses
// only, which makes an answer a fifth as long.
type bulkFilter struct {
	took, errors bool
	items        map[string][len(bulkFields)]bool // by operation
}

// bulkOperations are the names that an item's answer may have.
var bulkOperations = []string{"index", "create", "update", "delete"}

// allBulkFields is the filter of requests that have none.
var allBulkFields = newBulkFilter("")

func bulkFilterOf(query url.Values) *bulkFilter {
	if list := query.Get("filter_path"); list != "" {
		return newBulkFilter(list)
	}
	return allBulkFields
}

// maxFilters bounds the work that a request can cause before its body is read.
const maxFilters = 64

func newBulkFilter(list string) *bulkFilter {
	var want, not [][]string
	for i, p := range strings.Split(list, ",") {
		p = strings.TrimSpace(p)
		switch {
		case p == "" || i >= maxFilters:
		case p[0] == '-':
			not = append(not, strings.Split(p[1:], "."))
		default:
			want = append(want, strings.Split(p, "."))
		}
	}
	wanted := func(name string) bool {
		names := strings.Split(name, ".")
		return (len(want) == 0 || anyPath(want, names)) && !anyPath(not, names)
	}
	f := &bulkFilter{took: wanted("took"), errors: wanted("errors"), items: map[string][len(bulkFields)]bool{}}
	for _, op := range bulkOperations {
		var fields [len(bulkFields)]bool
		for i, name := range bulkFields {
			fields[i] = wanted("items." + op + "." + name)
		}
		f.items[op] = fields
	}
	return f
}

func anyPath(paths [][]string, names []string) bool {
	for _, p := range paths {
		if matchPath(p, names) {
			return true
		}
	}
	return false
}

// matchPath reports whether the pattern selects the field of these names: it
// matches the first of them, and all that is below belongs to it.
func matchPath(pattern, names []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(names) + 1 {
				if matchPath(pattern[1:], names[i:]) {
					return true
				}
			}
			return false
		}
		if len(names) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], names[0]); err != nil || !ok {
			return false
		}
		pattern, names = pattern[1:], names[1:]
	}
	return true
}
