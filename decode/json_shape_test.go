package decode

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// plainLines have a shape as a whole, in part or not at all.
func plainLines() []string {
	lines := []string{
		`{"msg":"m","level":"info","n":1}`,
		`{"time":"2026-03-05T11:59:58Z","status":200,"url":"/x?y=1","rt":0.5,"host":"h:80","service":"s"}`,
		`{ "a" : "b" , "c":  12.50 , "status":7, "d":{"e":[1]},"f":"g" } `,
		`{"service":"12ms","level":"30","env":"","status":1234,"url":"http://h/x"}`,
	}
	eachShape(func(_, _, line string) {
		if line[0] == '{' {
			lines = append(lines, line)
		}
	})
	return lines
}

// TestShapeChangesNothing cuts lines and changes single bytes of them, and
// compares what a decoder makes of them that knows the line's shape with what a
// new one does.
func TestShapeChangesNothing(t *testing.T) {
	const bytesOf = "\"\\{}[],: 01.e-azZ\n\t\x00é"
	warm, fresh := new(Decoder), new(Decoder)
	var want, got millrace.Batch
	for _, line := range plainLines() {
		if len(line) > 600 {
			line = line[:strings.LastIndex(line[:600], `,"`)] + "}"
		}
		check := func(text, behind []byte) {
			r := &millrace.Record{Arrived: arrivedTest, Source: "src", Format: "auto", Frames: []uint32{uint32(len(text))}}
			r.Payload = append(append(r.Payload, text...), behind...)
			*fresh = Decoder{}
			want.Reset(r)
			fresh.Decode(&want)
			got.Reset(r)
			warm.Decode(&got)
			if !reflect.DeepEqual(want.Events, got.Events) || !reflect.DeepEqual(want.Rejects, got.Rejects) {
				t.Fatalf("%q before %q:\n%+v\n%+v", text, behind, want.Events, got.Events)
			}
		}
		learn := func() {
			warm.shape = shape{}
			for range 2 {
				check([]byte(line), []byte("\n"+line))
			}
		}
		learn()
		for i := range len(line) {
			if warm.shape.misses > 1 {
				learn()
			}
			check([]byte(line[:i]+"}"), []byte(line))
			check([]byte(line[:i+1]), []byte(line[i+1:]+"\n"+line))
			for k := range 5 {
				text := []byte(line)
				text[i] = bytesOf[(5*i+k)%len(bytesOf)]
				check(text, []byte("\n"+line))
			}
			check([]byte(line[:i]+string(bytesOf[i%len(bytesOf)])+line[i:]), nil)
		}
	}
}

// TestShapes: a decoder learns the shape of lines that come often, and follows it
// although others come in between.
func TestShapes(t *testing.T) {
	d, b := new(Decoder), &millrace.Batch{}
	decode := func(line string) *millrace.Event {
		b.Reset(&millrace.Record{Arrived: arrivedTest, Format: "json"})
		text := append([]byte(line), bytes.Repeat([]byte(" "), overread)...)
		d.frame(b, &formats[3], 0, text[:len(line)])
		return &b.Events[0]
	}
	one, other := `{"a":"x","status":200,"url":"/"}`, `{"b":{"c":1},"msg":"y"}`
	for i := range 100 {
		line := one
		if i%5 == 4 {
			line = other
		}
		decode(line)
	}
	if len(d.shape.steps) != 3 || !d.shape.whole || d.shape.misses >= maxMisses {
		t.Fatalf("the shape is %+v", d.shape)
	}
	for range 2 * maxMisses {
		decode(`{"b":"c","msg":"y"}`)
	}
	if len(d.shape.steps) != 2 || d.shape.misses > 0 || d.shape.steps[0].name != "b" {
		t.Fatalf("the shape is %+v", d.shape)
	}
	if e := decode(`{"b":"d","msg":"z"}`); e.Message != "z" || attr(e, "b") != "d" || len(e.Attrs) != 1 {
		t.Fatalf("got %+v", e)
	}
}
