package gen

import (
	"slices"
	"strings"
	"testing"
)

func TestAHundredSets(t *testing.T) {
	bySize := map[int]int{}
	seen := map[string]bool{}
	for _, s := range Sets(100) {
		bySize[len(s)]++
		seen[strings.Join(s, ",")] = true
	}
	if bySize[0] != 1 || bySize[1] != 12 || bySize[2] != 45 || bySize[3] != 42 || len(seen) != 100 {
		t.Errorf("sets by size %v, %d distinct", bySize, len(seen))
	}
	if used := seen["os"] && seen["user_agent"]; !used {
		t.Error("a dimension is missing")
	}
}

func TestAnyNumberOfSets(t *testing.T) {
	for _, n := range []int{1, 2, 10, 99, 101, 300, 500} {
		sets := Sets(n)
		seen := map[string]bool{}
		for _, s := range sets {
			for _, d := range s {
				if !slices.Contains(Dimensions(), d) {
					t.Errorf("%d sets: %q is no dimension", n, d)
				}
			}
			seen[strings.Join(s, ",")] = true
		}
		if len(sets) != n || len(seen) != n || len(sets[0]) != 0 {
			t.Errorf("%d sets: %d, %d distinct, the first of %d dimensions", n, len(sets), len(seen), len(sets[0]))
		}
	}
	if four := Sets(300)[299]; len(four) != 4 {
		t.Errorf("the last of 300 sets is %v", four)
	}
}
