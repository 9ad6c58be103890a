package decode

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

func TestMemberTexts(t *testing.T) {
	names := []string{"a", "b.c", "long"}
	f := func(object string, ok bool, want ...string) {
		t.Helper()
		b := &millrace.Batch{}
		texts := []string{"left", "from", "before"}
		if got := MemberTexts(b, object, names, texts); got != ok || !slices.Equal(texts, append(want, "", "", "")[:3]) {
			t.Errorf("%.60q: got %q %t, want %q %t", object, texts, got, want, ok)
		}
	}
	f(`{"a":"x","b.c":1.50,"long":[1]}`, true, "x", "1.50")
	f(`{"a":"x","a":"y\n\u00e9"}`, true, "y\né")
	f(`{"a":"x","a":null}`, true)
	f(`{"\u0061":"x","b":{"c":1}}`, true, "x")
	f(" {\t}\n", true)
	f(`{"a":"x"`, false)
	f(`{"a":"x"},`, false)
	f(`["a"]`, false)
	f("", false)
	f(`{"a":"x","d":`+strings.Repeat("[", maxDepth-1)+strings.Repeat("]", maxDepth-1)+`}`, true, "x")
	f(`{"a":"x","d":`+strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth)+`}`, false)
}
