package sketch

import "slices"

const (
	// maxLists is how many lists are merged at a time.
	maxLists = 16
	// shortList is below which many lists are rather sorted together than merged.
	shortList = 12
	fewLists  = 4
	// maxUnions is what merging maxLists lists, and a last one that turns out too
	// long, writes at most.
	maxUnions = (maxLists + 2) * MaxSparse
)

// union builds the union of lists of entries. Long sorted lists are merged in
// pairs, shortest first (Huffman's order, which moves the fewest entries);
// others are gathered and sorted together. Its memory is that of a scratch.
type union struct {
	s       *scratch
	many    bool // so many lists that short ones are gathered
	n       int  // of lists
	loose   int  // entries gathered, in no order
	written int  // entries of s.unions in use
	tooMany bool // it has more than MaxSparse entries
	lists   [maxLists + 1][]uint32
}

// add adds a list of no more than maxEntries.
func (u *union) add(list []uint32, sorted bool) {
	switch {
	case u.tooMany || len(list) == 0:
	case sorted && (len(list) >= shortList || !u.many):
		if u.n == maxLists {
			u.condense()
		}
		u.lists[u.n] = list
		u.n++
	default:
		if u.loose+len(list) > maxGathered {
			u.condense()
		}
		u.loose += copy(u.s.loose[u.loose:], list)
	}
}

// condense makes one list of all.
func (u *union) condense() {
	list, ok := u.result()
	if u.n = 0; ok {
		u.lists[0] = u.s.condensed[:copy(u.s.condensed[:], list)]
		u.n, u.written = 1, 0
	}
}

// result returns all entries that were added, sorted, each index once. If there
// are more than MaxSparse it returns false.
func (u *union) result() ([]uint32, bool) {
	if u.loose > 0 {
		list := u.s.sort(u.s.loose[:u.loose])
		list = list[:merge(list, list, nil)]
		u.tooMany = u.tooMany || len(list) > MaxSparse
		u.lists[u.n] = list
		u.n, u.loose = u.n+1, 0
	}
	if u.n == 0 || u.tooMany {
		return nil, !u.tooMany
	}
	lists := u.lists[:u.n]
	slices.SortFunc(lists, func(a, b []uint32) int { return len(a) - len(b) })
	for len(lists) > 1 {
		out := u.s.unions[u.written:]
		out = out[:merge(out, lists[0], lists[1])]
		if len(out) > MaxSparse {
			u.tooMany = true
			return nil, false
		}
		u.written += len(out)
		lists = lists[1:]
		lists[0] = out
		for i := 1; i < len(lists) && len(lists[i]) < len(lists[i-1]); i++ {
			lists[i-1], lists[i] = lists[i], lists[i-1]
		}
	}
	return lists[0], true
}
