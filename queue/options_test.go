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
	checkTags(t, reflect.ValueOf(o))
}

// checkTags checks that the function and the tags say the same.
func checkTags(t *testing.T, val reflect.Value) {
	t.Helper()
	for i, f := range reflect.VisibleFields(val.Type()) {
		if f.Type.Kind() == reflect.Struct {
			checkTags(t, val.Field(i))
			continue
		}
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
	f("queue.min_insync: 4", func(o *Options) { o.Replication, o.MinInsync = 3, 4 })
	f("queue.consume: a=json: must be empty with the embedded broker", func(o *Options) { o.Consume = []string{"a=json"} })
	f("queue.group.session_timeout: 1ms", func(o *Options) { o.Group.Session = 1e6 })
	f("queue.group.heartbeat: 5s: must be between 50ms and 3.3", func(o *Options) { o.Group.Heartbeat = 5e9 })
	f("queue.group.rebalance_timeout: 1d", func(o *Options) { o.Group.Rebalance = 24 * 3600e9 })
	f("queue.group.instance: a b", func(o *Options) { o.Group.Instance = "a b" })
}

func TestValidateExternal(t *testing.T) {
	f := func(want string, change func(o *Options)) {
		t.Helper()
		o := DefaultOptions()
		o.Broker = []string{"kafka:9092"}
		change(&o)
		var v millrace.Violations
		o.Validate("queue", &v)
		switch err := v.Err(); {
		case err == nil && want == "":
		case err == nil || want == "" || !strings.Contains(err.Error(), want):
			t.Errorf("error %v, want %q", err, want)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("shows a secret: %v", err)
		}
	}
	f("", func(o *Options) { o.Consume = []string{"a=json", "b=auto"} })
	f("queue.consume: a: must be TOPIC=FORMAT", func(o *Options) { o.Consume = []string{"a"} })
	f("queue.consume: millrace=json: must be another topic", func(o *Options) { o.Consume = []string{"millrace=json"} })
	f("queue.consume: a=auto: must be given once", func(o *Options) { o.Consume = []string{"a=json", "a=auto"} })
	scram := SASLOptions{Mechanism: "scram-sha-512", Username: "m", Password: "env:PW"}
	oauth := SASLOptions{Mechanism: "oauthbearer", TokenURL: "https://h/t", ClientID: "m", ClientSecret: "file:/x"}
	f("", func(o *Options) { o.SASL = scram })
	f("", func(o *Options) { o.SASL = oauth })
	f("", func(o *Options) { o.SASL = SASLOptions{Mechanism: "oauthbearer", Token: "file:/x"} })
	f("", func(o *Options) { o.TLS = TLSOptions{Enabled: true, CAFile: "a", CertFile: "b", KeyFile: "c"} })
	f("queue.tls.enabled: false", func(o *Options) { o.TLS.CAFile = "ca.pem" })
	f("queue.tls.enabled: true: must be false with the embedded", func(o *Options) { o.Broker, o.TLS.Enabled = nil, true })
	f("queue.tls.cert_file: c.pem: must be given together", func(o *Options) { o.TLS = TLSOptions{Enabled: true, CertFile: "c.pem"} })
	f("queue.tls.insecure_skip_verify", func(o *Options) { o.TLS = TLSOptions{Enabled: true, Insecure: true, CAFile: "x"} })
	f("queue.sasl.mechanism: gssapi", func(o *Options) { o.SASL.Mechanism = "gssapi" })
	f("queue.sasl.mechanism: scram-sha-512: must be empty", func(o *Options) { o.SASL, o.Broker = scram, nil })
	f("queue.sasl.username", func(o *Options) { o.SASL = scram; o.SASL.Username = "" })
	f(`queue.sasl.password: ""`, func(o *Options) { o.SASL = scram; o.SASL.Password = "" })
	f("queue.sasl.password: (hidden): must be env:NAME or file:PATH", func(o *Options) { o.SASL = scram; o.SASL.Password = "hunter2" })
	f("queue.sasl.password: (hidden)", func(o *Options) { o.SASL = scram; o.SASL.Password = "vault:hunter2" })
	f("queue.sasl.token: env:T: must be empty", func(o *Options) { o.SASL = scram; o.SASL.Token = "env:T" })
	f("queue.sasl.token: env:T: must be given with mechanism oauthbearer, or else token_url", func(o *Options) { o.SASL = oauth; o.SASL.Token = "env:T" })
	f("queue.sasl.client_secret: (hidden)", func(o *Options) { o.SASL = oauth; o.SASL.ClientSecret = "hunter2" })
	f("queue.sasl.client_id", func(o *Options) { o.SASL = oauth; o.SASL.ClientID = "" })
	f("queue.sasl.token_url", func(o *Options) { o.SASL = oauth; o.SASL.TokenURL = "https://m:hunter2@h/t" })
	f("queue.sasl.scope: s: must be empty", func(o *Options) { o.SASL = scram; o.SASL.Scope = "s" })
}
