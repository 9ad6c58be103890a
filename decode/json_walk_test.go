package decode

import "testing"

// Walking through a value, however deep, ends where skipValue does, be it behind
// the value or where it goes wrong.
func FuzzWalk(f *testing.F) {
	for _, line := range hardLines {
		f.Add([]byte(line))
	}
	for _, seed := range []string{`{"a":[1,{"b":null}, [ ] ,{}],"c":"\u0041"}`, `{"a":1,}`, `[1,]`, `{"a"`, `{"a":`, `[`, `[1`, `{"a":[{"b":tru}]}`, `{"a":1 "b":2}`, `[1 2]`, `{1:2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		if got, want := walkValue(b, 0, 0), skipValue(b, 0, 0); got != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	})
}

func walkValue(b []byte, i, depth int) int {
	if depth > maxDepth {
		return skipValue(b, i, depth)
	}
	switch b[i] {
	case '{':
		return eachMember(b, i, func(_ []byte, at int) int { return walkValue(b, at, depth+1) })
	case '[':
		return eachElement(b, i, func(at int) int { return walkValue(b, at, depth+1) })
	}
	return skipValue(b, i, depth)
}
