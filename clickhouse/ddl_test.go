package clickhouse

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: what is made is not what the file has (-update writes it):\n%s", name, got)
	}
}

// TestSchema shows the statements of the migrations: the only place where those of
// a cluster are seen without one.
func TestSchema(t *testing.T) {
	plain := DefaultOptions()
	tiered := DefaultOptions()
	tiered.Storage.Policy, tiered.Storage.WarmVolume, tiered.Storage.ColdVolume = "tiered", "warm", "s3"
	for name, f := range map[string]struct {
		address string
		opt     Options
	}{
		"schema.sql":         {"clickhouse://h/logs", plain},
		"schema_cluster.sql": {"clickhouse://h/logs?cluster=main", plain},
		"schema_tiered.sql":  {"clickhouse://h/logs", tiered},
		"schema_recent.sql":  {"clickhouse://h/logs", plain},
	} {
		a, err := parseAddress(f.address)
		if err != nil {
			t.Fatal(err)
		}
		a.statistics = name == "schema_recent.sql"
		all := a.create(&versionsTable)
		for _, m := range migrations {
			all = append(all, m.statements(a, &f.opt)...)
		}
		golden(t, name, strings.Join(all, ";\n\n")+";\n")
	}
}

// TestClusterNames shows what statements say in a cluster.
func TestClusterNames(t *testing.T) {
	a, err := parseAddress("clickhouse://h/logs?cluster=main")
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{addr: a}
	for got, want := range map[string]string{
		db.table("events_rows"): "`logs`.`events_rows`",
		db.local("events_rows"): "`logs`.`events_rows_local` ON CLUSTER `main`",
		db.visible():            "flush NOT IN (SELECT flush FROM `logs`.hidden_flushes)",

		replicated("ReplacingMergeTree(v)", "/p", "r"): "ReplicatedReplacingMergeTree('/p', 'r', v)",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]address{
		"clickhouse://h":           {hosts: []string{"h:9000"}, user: "default", database: "default"},
		"clickhouse://h?cluster=c": {hosts: []string{"h:9000"}, user: "default", database: "default", cluster: "c"},
		"clickhouse://u:p%40%2F@a:1,b:2/db?protocol=http": {
			hosts: []string{"a:1", "b:2"}, user: "u", password: "p@/", database: "db", http: true,
		},
		"clickhouse://u@a,[::1],[::2]:7/db?secure=true": {
			hosts: []string{"a:9440", "[::1]:9440", "[::2]:7"}, user: "u", database: "db", secure: true,
		},
		"clickhouse://a/?protocol=http&secure=true": {
			hosts: []string{"a:8443"}, user: "default", database: "default", http: true, secure: true,
		},
	} {
		got, err := parseAddress(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if strings.Join(got.hosts, ",") != strings.Join(want.hosts, ",") {
			t.Errorf("%s: hosts %v, want %v", text, got.hosts, want.hosts)
		}
		got.hosts, want.hosts = nil, nil
		if got.user != want.user || got.password != want.password || got.database != want.database ||
			got.cluster != want.cluster || got.http != want.http || got.secure != want.secure {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	for _, bad := range []string{
		"", "http://h", "clickhouse://", "clickhouse://u:se%zzcret@h", "clickhouse://h/a b", "clickhouse://h/x;y", "clickhouse://h,/d",
		"clickhouse://h:/d", "clickhouse://:9000", "clickhouse://h?cluster=a'b", "clickhouse://h?cluster=", "clickhouse://h?protocol=tcp",
		"clickhouse://h?secure=maybe", "clickhouse://h?password=secret",
	} {
		_, err := parseAddress(bad)
		if millrace.ErrorCode(err) != millrace.ErrInvalid || millrace.ErrorHint(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
		if err != nil && strings.Contains(err.Error(), "cret@") {
			t.Errorf("%q: the error tells the password: %v", bad, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("clickhouse://u:p@a:1,b/db?cluster=c")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err == nil && (len(a.hosts) == 0 || a.user == "" || a.database == "") {
			t.Fatalf("%q: %+v", s, a)
		}
	})
}

func TestOptions(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"":                            func(*Options) {},
		"clickhouse.address":          func(o *Options) { o.Address = "nope" },
		"clickhouse.timeout":          func(o *Options) { o.Timeout = 0 },
		"clickhouse.connections":      func(o *Options) { o.Connections = 1 },
		"clickhouse.tls":              func(o *Options) { o.TLS.Cert = "x" },
		"clickhouse.storage.policy":   func(o *Options) { o.Storage.WarmVolume = "w" },
		"clickhouse.retention.events": func(o *Options) { o.Retention.Events = 1 },
		"clickhouse.storage.cold_volume": func(o *Options) {
			o.Storage.Policy, o.Storage.ColdVolume = "p", "a'b"
		},
	} {
		o := DefaultOptions()
		o.Address = "clickhouse://h/d"
		change(&o)
		var v millrace.Violations
		o.Validate("clickhouse", &v)
		if len(v.List()) == 0 != (want == "") || want != "" && v.List()[0].Path != want {
			t.Errorf("%s: %v", want, v.Err())
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a'b\\": `'a\'b\\'`, "\x00\n\r?": `'\0\n\r?'`, "": "''", "ü": "'ü'"} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestSlots(t *testing.T) {
	for ns, want := range map[int64]int32{0: 0, -1: -1, slotWidth: 1, slotWidth - 1: 0, -slotWidth: -1, -slotWidth - 1: -2, -1 << 63: -15372287, 1<<63 - 1: 15372286} {
		if got := slotOf(ns); got != want {
			t.Errorf("%d: slot %d, want %d", ns, got, want)
		}
	}
}

// TestWindows: they are apart, newest first, and together the range.
func TestWindows(t *testing.T) {
	const now = int64(1_700_000_000_000_000_000)
	for _, r := range []millrace.Span{
		{From: -1 << 63, To: 1<<63 - 1},
		{From: now - 5, To: now},
		{From: now - 1e15, To: now},
		{From: now + 5, To: now + 9},
		{From: now - 5, To: now + 5},
		{From: 0, To: 1e18},
		{From: -1 << 63, To: -1<<63 + 1e18},
		{From: 5, To: 5},
	} {
		end := r.To
		for _, w := range windows(r.From, r.To, now) {
			if w.To != end || w.From >= w.To || w.From < r.From {
				t.Fatalf("%+v: window %+v behind %d", r, w, end)
			}
			end = w.From
		}
		if end != r.From {
			t.Errorf("%+v: windows end at %d", r, end)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]int{"26.7.2.1": 26, "25.8": 25, "25.8.1.5101": 25, "25.7.9.9": 0, "18.16.1": 0, "": 0, "x.y": 0, "26": 26} {
		got, err := checkVersion(version)
		if got != want || (err == nil) != (want > 0) || err != nil && millrace.ErrorHint(err) == "" {
			t.Errorf("%q: %d, %v", version, got, err)
		}
	}
}
