package failpoint

import "testing"

func TestHit(t *testing.T) {
	t.Cleanup(func() { _ = Set("") })
	if err := Set("a=error:2,b=error:2+"); err != nil {
		t.Fatal(err)
	}
	got := ""
	for range 3 {
		for _, name := range []string{"a", "b", "c"} {
			if Hit(name) != nil {
				got += name
			}
		}
	}
	if got != "abb" {
		t.Fatalf("hits that failed: %q, want %q", got, "abb")
	}
}

func TestSetRefusesUnknownActions(t *testing.T) {
	for _, spec := range []string{"a", "a=", "a=explode", "a=kill:x"} {
		if Set(spec) == nil {
			t.Errorf("Set(%q) succeeded", spec)
		}
	}
}
