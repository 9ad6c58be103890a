package queue

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

func TestDefaultOptions(t *testing.T) {
	o := DefaultOptions()
	var v millrace.Violations
	o.Validate("queue", &v)
	if err := v.Err(); err != nil {
		t.Error(err)
	}
	// The function and the tags must say the same.
	val := reflect.ValueOf(o)
	for i, f := range reflect.VisibleFields(val.Type()) {
		got := fmt.Sprint(val.Field(i).Interface())
		switch x := val.Field(i).Interface().(type) {
		case millrace.Duration:
			d, err := millrace.ParseDuration(f.Tag.Get("default"))
			if err != nil || x.Std() != d {
				t.Errorf("%s: %v, tag %q", f.Name, x, f.Tag.Get("default"))
			}
			continue
		case millrace.Bytes:
			var b millrace.Bytes
			if err := b.UnmarshalText([]byte(f.Tag.Get("default"))); err != nil || b != x {
				t.Errorf("%s: %v, tag %q", f.Name, x, f.Tag.Get("default"))
			}
			continue
		case []string:
			got = strings.Join(x, ",")
		}
		if got != f.Tag.Get("default") {
			t.Errorf("%s: %q, tag %q", f.Name, got, f.Tag.Get("default"))
		}
		if f.Tag.Get("doc") == "" || f.Tag.Get("example") == "" || f.Tag.Get("yaml") == "" {
			t.Errorf("%s lacks a tag", f.Name)
		}
	}
}

func TestValidate(t *testing.T) {
	f := func(want string, change func(o *Options)) {
		t.Helper()
		o := DefaultOptions()
		change(&o)
		var v millrace.Violations
		o.Validate("queue", &v)
		if err := v.Err(); millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("queue.broker: kafka", func(o *Options) { o.Broker = []string{"kafka"} })
	f("queue.listen: :9092", func(o *Options) { o.Listen = ":9092" })
	f("queue.listen: 0.0.0.0:9092", func(o *Options) { o.Listen = "0.0.0.0:9092" })
	f("queue.topic: a b", func(o *Options) { o.Topic = "a b" })
	f("queue.topic: ..", func(o *Options) { o.Topic = ".." })
	f("queue.partitions: 0", func(o *Options) { o.Partitions = 0 })
	f("queue.replication: 0", func(o *Options) { o.Replication = 0 })
	f("queue.durability: maybe", func(o *Options) { o.Durability = "maybe" })
	f("queue.retention: 1s", func(o *Options) { o.Retention = 1e9 })
	f("queue.timeout: 1ns", func(o *Options) { o.Timeout = 1 })
	f("queue.buffer: 1KiB", func(o *Options) { o.Buffer = 1 << 10 })
	f("queue.max_bytes: 1KiB", func(o *Options) { o.MaxBytes = 1 << 10 })
}
