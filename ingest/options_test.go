package ingest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// The tags are what the configuration uses, DefaultOptions what Go code does.
func TestDefaultsAgreeWithTags(t *testing.T) {
	v := reflect.ValueOf(DefaultOptions())
	for i := range v.NumField() {
		field := v.Type().Field(i)
		want := field.Tag.Get("default")
		got := ""
		switch x := v.Field(i).Interface().(type) {
		case millrace.Bytes:
			got = x.String()
		case millrace.Duration:
			got = x.String()
		case int:
			got = "1000000"
			if x != 1_000_000 {
				t.Errorf("%s is %d", field.Name, x)
			}
		case bool:
			got = map[bool]string{false: "false", true: "true"}[x]
		}
		if got != want || field.Tag.Get("doc") == "" || field.Tag.Get("example") == "" {
			t.Errorf("%s: default %q, tag %q", field.Name, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	f := func(change func(*Options), want string) {
		t.Helper()
		o := DefaultOptions()
		change(&o)
		var v millrace.Violations
		o.Validate("ingest", &v)
		if err := v.Err(); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(func(*Options) {}, "")
	f(func(o *Options) { o.MaxBody = 0 }, "ingest.max_body")
	f(func(o *Options) { o.MaxCompressed = 2 << 30 }, "ingest.max_compressed")
	f(func(o *Options) { o.MaxLine = 2 << 20 }, "ingest.max_line: 2MiB: must be between 256B and 1MiB")
	f(func(o *Options) { o.MaxLines = 0 }, "ingest.max_lines")
	f(func(o *Options) { o.Memory = 64 << 20 }, "ingest.memory")
	f(func(o *Options) { o.SlowGrace = 0 }, "ingest.slow_grace")
	f(func(o *Options) { o.MinRate = 0 }, "ingest.min_rate")
	f(func(o *Options) { o.AppendTimeout = 0 }, "ingest.append_timeout")
}
