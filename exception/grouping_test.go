package exception_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// pairs counts what grouping did to the pairs of a labelled set.
type pairs struct{ together, right, same, found int }

func countPairs(labels, groups []string) (p pairs) {
	for i := range labels {
		for j := range i {
			same, together := labels[i] == labels[j], groups[i] == groups[j]
			if same {
				p.same++
			}
			if together {
				p.together++
			}
			if same && together {
				p.right++
			}
		}
	}
	p.found = p.right
	return p
}

func (p pairs) precision() float64 { return float64(p.right) / float64(max(p.together, 1)) }
func (p pairs) recall() float64    { return float64(p.found) / float64(max(p.same, 1)) }

// TestGroupingGenerated: 200 faults in 10 variants each fall into 200 groups.
func TestGroupingGenerated(t *testing.T) {
	const n, variants = 200, 10
	r := rand.New(rand.NewPCG(7, 7))
	var labels, groups []string
	first := map[string]string{}
	list := faults(n, r)
	known := map[string]string{} // what a fault is, to find two that are the same by chance
	for i := range list {
		label := fmt.Sprint(i)
		if same, ok := known[identity(&list[i])]; ok {
			label = same
		}
		known[identity(&list[i])] = label
		for range variants {
			text := list[i].variant(r)
			report, ok := exception.Read(text)
			if !ok || len(report.Exception.Frames) == 0 || report.Language != list[i].language {
				t.Fatalf("%s: %v %s, %d: %s", list[i].language, ok, report.Language, i, text)
			}
			fp := exception.FingerprintOf(2, &report)
			labels, groups = append(labels, label), append(groups, fp)
			if other, ok := first[label]; !ok {
				first[label] = text
			} else if o, _ := exception.Read(other); exception.FingerprintOf(2, &o) != fp {
				t.Logf("fault %s is split:\n%s\n%s\nby:\n%s", label, other, text, explained(&o)+explained(&report))
			}
		}
	}
	p := countPairs(labels, groups)
	t.Logf("generated: %d faults, %d inputs, precision %.4f, recall %.4f (%+v)", n, len(labels), p.precision(), p.recall(), p)
	if p.precision() < 0.99 || p.recall() < 0.95 {
		t.Errorf("precision %.4f, want 0.99; recall %.4f, want 0.95", p.precision(), p.recall())
	}
}

// identity is what makes a fault the one it is: equal ones may be drawn twice.
func identity(f *fault) string {
	var b strings.Builder
	for ; f != nil; f = f.cause {
		b.WriteString(f.language + f.typ)
		seen := map[call]bool{}
		for _, c := range f.calls {
			if !seen[c] {
				fmt.Fprintf(&b, "%v", c)
			}
			seen[c] = true
		}
	}
	return b.String()
}

func explained(r *millrace.Report) string {
	var b strings.Builder
	for _, p := range exception.Explain(2, r).Parts {
		if p.Used != "" {
			fmt.Fprintf(&b, "    %s %s\n", p.Kind, p.Used)
		}
	}
	return b.String() + "    --\n"
}

// disagreements are the pairs of inputs that grouping judges otherwise than their
// names, with an opinion; docs/exceptions.md has them too.
var disagreements = map[string]string{
	"group_294_event_294 group_294_event_329": "the functions of the application are stripped, of the rest the outer frames differ; with names they would be one",
	"group_307_event_307 group_307_event_657": "the system's libraries have symbols in one event only, and the application's names are stripped; symbols join them",
	"group_332_event_332 group_332_event_343": "an upload of a texture and the deletion of one, both ended by the graphics driver: two issues, unless the stripped frames are equal",
	"group_332_event_332 group_332_event_353": "the drivers of AMD and Intel fail in other calls; only the stripped frames can be equal",
	"group_332_event_343 group_332_event_353": "as above",
	"group_428_event_428 group_428_event_562": "one fails in the application, one in the driver of another GPU below it; a person would need the stripped names",
	"group_332_event_332 macos-amd-driver":    "the same stack to the frame: the same issue under two names",
	"group_319_event_321 macos-intel-driver":  "the same stack to the frame: the same issue under two names",
}

var (
	groupLabel = regexp.MustCompile(`^(group_\d+)_event|^(javascript-xbrowser)`)
	stripped   = regexp.MustCompile(`"(stripped_application_code|<stripped application code>)"`)
)

// TestGroupingInputs writes what every grouping input is compared by and where
// it lands to testdata/grouping.txt, for a person to judge.
func TestGroupingInputs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "exceptions/sentry-events"), "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d inputs: %v", len(files), err)
	}
	var labels, groups []string
	first := map[string]string{}
	var out strings.Builder
	out.WriteString("Grouping inputs (exceptions/sentry-events in the shared test data): what the second\n" +
		"version of the fingerprint compares, and the first input of the same group.\n" +
		"Application frames whose names the origin stripped count as frames without a name.\n" +
		"Rewrite with: go test ./exception -run TestGroupingInputs -rewrite\n")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := sentryReport(t, stripped.ReplaceAll(data, []byte(`""`)))
		if !ok {
			t.Fatalf("%s: no exception", name)
		}
		x := exception.Explain(2, &r)
		if fp := exception.FingerprintOf(2, &r); fp != x.Fingerprint {
			t.Errorf("%s: explained as %s, is %s", name, x.Fingerprint, fp)
		}
		fp, basis := x.Fingerprint, x.Basis
		if parts := clientFingerprint(t, data); parts != nil {
			if fp = exception.CustomFingerprint(parts, fp); fp != x.Fingerprint {
				basis = "what the client says: " + strings.Join(parts, ", ")
			}
		}
		if first[fp] == "" {
			first[fp] = name
		}
		label := name
		if m := groupLabel.FindStringSubmatch(name); m != nil {
			label = m[1] + m[2]
		}
		labels, groups = append(labels, label), append(groups, fp)
		fmt.Fprintf(&out, "\n%s: group %s %s\n  by %s\n", name, fp, first[fp], basis)
		for _, p := range x.Parts {
			if p.Used != "" {
				fmt.Fprintf(&out, "  %d %s %s\n", p.Depth, p.Kind, cut(p.Used, 120))
			}
		}
	}
	p := countPairs(labels, groups)
	t.Logf("inputs: %d, precision %.4f, recall %.4f (%+v)", len(labels), p.precision(), p.recall(), p)
	wrong := 0
	for i := range labels {
		for j := range i {
			if (labels[i] == labels[j]) == (groups[i] == groups[j]) {
				continue
			}
			wrong++
			pair := strings.TrimSuffix(filepath.Base(files[j]), ".json") + " " + strings.TrimSuffix(filepath.Base(files[i]), ".json")
			if disagreements[pair] == "" {
				t.Errorf("disagreement without an opinion: %s: grouped %v", pair, groups[i] == groups[j])
			}
		}
	}
	if wrong != len(disagreements) {
		t.Errorf("%d disagreements, %d opinions", wrong, len(disagreements))
	}
	golden := "testdata/grouping.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("%s is not what grouping does now; version 2 is frozen", golden)
	}
}

// clientFingerprint is the event's own fingerprint, numbers as text.
func clientFingerprint(t *testing.T, event []byte) (parts []string) {
	var e struct{ Fingerprint []any }
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	for _, p := range e.Fingerprint {
		parts = append(parts, fmt.Sprint(p))
	}
	return parts
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
