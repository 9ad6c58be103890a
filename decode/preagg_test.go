package decode

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

const exceptionSample = `{"ip":"10.0.0.7","sendTime":1767323045000,"host":"web-3","appCode":"checkout","envName":"prod","exType":"java.lang.IllegalStateException","count":100,"zone":"z1",
 "details":[
  {"level":"ERROR","fileName":"Cart.java","content":"cart 17 is empty","timestamp":1767323044001,"traceId":"t-1","stackTrace":"java.lang.IllegalStateException: cart 17 is empty\n\tat a.Cart.pay(Cart.java:42)\n","zone":"own"},
  {"level":"WARN","content":"cart 18 is empty","timestamp":"2026-01-02T03:04:04.5Z","traceId":"t-2"}]}`

func init() {
	structuredSeeds["exceptions"] = append(structuredSeeds["exceptions"], exceptionSample, "["+exceptionSample+","+exceptionSample+"]",
		`[{"exType":"A","count":2,"details":[{},{},{}, {"content":"x"}]},{"count":0},{"count":-1},{"count":1e3},{"count":"7"},{"count":null,"details":null},3,{"details":[1,"a",{"stackTrace":["at a","at b"]}]}]`,
		"{}\n{\"count\":3}\n[{}]", `[{"exType":"A"},{"exType":"B","details":[{"content":"c`, `{"sendTime":"never","appCode":7,"ip":{"a":[]},"details":{"content":"one"}}`, `[]`)
}

func TestExceptionsEvents(t *testing.T) {
	want := []string{
		`98 exception 1767323045000000000 service=checkout host=web-3 env=prod release= level=error trace= attrs={"ip":"10.0.0.7","count":100,"zone":"z1","type":"java.lang.IllegalStateException","fileName":"Cart.java","stackTrace":"java.lang.IllegalStateException: cart 17 is empty\n\tat a.Cart.pay(Cart.java:42)\n","details.zone":"own"}: cart 17 is empty`,
		`1 exception 1767323044001000000 service=checkout host=web-3 env=prod release= level=error trace=t-1 attrs={"ip":"10.0.0.7","count":100,"zone":"z1","type":"java.lang.IllegalStateException","fileName":"Cart.java","sendTime":1767323045000,"stackTrace":"java.lang.IllegalStateException: cart 17 is empty\n\tat a.Cart.pay(Cart.java:42)\n","details.zone":"own"}: cart 17 is empty`,
		`1 exception 1767323044500000000 service=checkout host=web-3 env=prod release= level=warn trace=t-2 attrs={"ip":"10.0.0.7","count":100,"zone":"z1","type":"java.lang.IllegalStateException","sendTime":1767323045000}: cart 18 is empty`,
	}
	for _, body := range []string{exceptionSample, "[" + exceptionSample + "]", "\n" + exceptionSample + "\n"} {
		events := piecesEvents(t, "exceptions", nil, []byte(body))
		if len(events) != len(want) {
			t.Fatalf("%d events", len(events))
		}
		for i := range want {
			if got := fmt.Sprint(events[i].Weight, " ", eventLine(&events[i])); got != want[i] {
				t.Errorf("\n got %s\nwant %s", got, want[i])
			}
		}
	}
}

func TestExceptionsDefaults(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: `1 exception service=src host=10.9.8.7 env= release= level=error trace= attrs={}: exception`,
		`{"exType":"E","ip":"10.0.0.7","sendTime":"never","appCode":""}`: `1 exception service=src host=10.0.0.7 env= release= level=error trace= attrs={"ip":"10.0.0.7","sendTime":"never","appCode":"","type":"E"}: E`,
		`{"count":2,"details":[{"stackTrace":"E: x\n\tat y"},{"content":"a"},{"content":"b","traceId":"lost?"}]}`: `1 exception service=src host=10.9.8.7 env= release= level=error trace= attrs={"count":2,"stackTrace":"E: x\n\tat y"}: E: x` + "\n" +
			`1 exception service=src host=10.9.8.7 env= release= level=error trace= attrs={"count":2,"details":[{"content":"b","traceId":"lost?"}]}: a`,
	} {
		var got []string
		for _, e := range piecesEvents(t, "exceptions", nil, []byte(body)) {
			line := fmt.Sprint(e.Weight, " ", eventLine(&e))
			got = append(got, strings.Replace(line, fmt.Sprint(" ", e.Time), "", 1))
		}
		if g := strings.Join(got, "\n"); g != want {
			t.Errorf("%s:\n got %s\nwant %s", body, g, want)
		}
	}
}

// The weights of an object's events add up to its count, whatever its samples.
func TestExceptionsWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		var body strings.Builder
		var counts []int64 // by index, 0 if refused
		samples := map[int]int{}
		body.WriteByte('[')
		for i := range 1 + rng.IntN(5) {
			if i > 0 {
				body.WriteByte(',')
			}
			count := rng.Int64N(8)
			if rng.IntN(4) == 0 {
				count = rng.Int64N(2 * maxCount)
			}
			fmt.Fprintf(&body, `{"count":%d,"details":[`, count)
			good := 0
			for k := range rng.IntN(6) {
				if k > 0 {
					body.WriteByte(',')
				}
				if rng.IntN(5) == 0 {
					body.WriteString(`"bad"`)
				} else {
					good++
					fmt.Fprintf(&body, `{"traceId":"t%d.%d"}`, i, k)
				}
			}
			body.WriteString("]}")
			if count > maxCount {
				count = 0
			}
			counts = append(counts, count)
			samples[i+1] = min(good, int(count))
		}
		body.WriteByte(']')
		var p Pieces
		if err := Split("exceptions", nil, []byte(body.String()), Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		var b millrace.Batch
		b.Reset(pieceRecord("exceptions", &p))
		new(Decoder).Decode(&b)
		got := make([]int64, len(counts))
		traces := map[int]int{}
		for i := range b.Events {
			at := p.Events[b.Events[i].Ordinal].Index
			got[at-1] += b.Events[i].Weight
			if b.Events[i].TraceID != "" {
				traces[at]++
			}
		}
		for i, want := range counts {
			if got[i] != want || traces[i+1] != samples[i+1] {
				t.Fatalf("%s: object %d has weight %d, %d samples; want %d, %d", body.String(), i+1, got[i], traces[i+1], want, samples[i+1])
			}
		}
	}
}

func TestExceptionsRefused(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for body, want := range map[string]string{
		`[{"count":0},{"count":1}]`:                               "1 1:bad_count",
		`[{"count":-1},{"count":1.5},{"count":"a"},{"count":[]}]`: "0 1:bad_count 2:bad_count 3:bad_count 4:bad_count",
		`[{"count":9223372036854775808},{"count":1000000000}]`:    "1 1:bad_count",
		`[{"a":1},7,"x",{"b":2}]`:                                 "2 2:bad_json 3:bad_json",
		`[{"a":1},{"b":`:                                          "1 2:bad_json",
		`[{"a":1}`:                                                "1 2:bad_json",
		`[{"a":1},`:                                               "1 2:bad_json",
		`[{"a":1} {"b":2}]`:                                       "1 2:bad_json",
		`{"a":1}{"b":2} x`:                                        "2 3:bad_json",
		`{"details":[1,{"a":"b"}]}`:                               "1 1:bad_detail",
		"{\"a\":\"\xff\"}{\"b\":1}":                               "1 1:bad_utf8",
		"{\"count\":2,\"details\":[{\"a\":\"\xff\"}]}":            "1 1:bad_utf8",
		`{"a":"` + big + `"}{}`:                                   "1 1:event_too_large",
		`{"count":5,"details":[{"a":"` + big + `"}]}`:             "1 1:event_too_large",
	} {
		var p Pieces
		if err := Split("exceptions", nil, []byte(body), Limits{}, &p); err != nil {
			t.Errorf("%.80s: %v", body, err)
			continue
		}
		got := fmt.Sprint(len(p.Events))
		for _, r := range p.Refused {
			got += fmt.Sprintf(" %d:%s", r.Index, r.Reason)
			if r.Detail == "" {
				t.Errorf("%.80s: no detail", body)
			}
		}
		if got != want {
			t.Errorf("%.80s: %s, want %s", body, got, want)
		}
	}
	var p Pieces
	if err := Split("exceptions", nil, []byte("hello"), Limits{}, &p); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Error(err)
	}
	if err := Split("exceptions", nil, []byte(`[{},{},{}]`), Limits{MaxEvents: 2}, &p); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Error(err)
	}
}

func FuzzExceptions(f *testing.F) {
	for _, s := range structuredSeeds["exceptions"] {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkStructured(t, "exceptions", nil, body) })
}

func exceptionsBench(n int) []byte {
	return []byte("[" + strings.TrimSuffix(strings.Repeat(exceptionSample+",", n), ",") + "]")
}

func BenchmarkExceptions(b *testing.B) {
	benchStructured(b, "exceptions", exceptionsBench(300), 900)
}

func TestExceptionsAllocs(t *testing.T) {
	structuredAllocs(t, "exceptions", exceptionsBench(300), 30)
}
