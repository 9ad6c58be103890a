package main

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reload asks the server to read its configuration again.
func (in *instance) reload() (int, string) {
	in.t.Helper()
	return in.call(http.MethodPost, "/api/v1/config/reload", nil, nil, nil)
}

const reloadRules = `
sources:
  shop:
    rules:
      steps: [{drop: 'level == "debug"', reason: debug}]
`

// TestReload changes rules, rollups, limits and caps of a running server; a
// configuration that is wrong or needs a restart is refused, and all stays.
func TestReload(t *testing.T) {
	in := boot(t, "", reloadRules)
	lines := `{"level":"debug","message":"a"}` + "\n" + `{"level":"info","message":"b","city":"bonn"}` + "\n"
	in.post("source=shop", lines)
	in.drain(2)
	check := func(filtered, stored string) {
		t.Helper()
		for _, sink := range []string{"events", "rollup"} {
			got := in.sqlMap("SELECT outcome, sum(events) FROM ledger WHERE sink = '" + sink + "' GROUP BY outcome")
			if got["filtered"] != filtered || got["stored"] != stored {
				t.Errorf("%s: %v, want %s filtered and %s stored", sink, got, filtered, stored)
			}
		}
	}
	check("1", "1")

	refused := func(extra string, want ...string) {
		t.Helper()
		writeConfig(t, in.conf, extra)
		code, text := in.reload()
		if code != http.StatusBadRequest && code != http.StatusConflict {
			t.Errorf("%d %s, want it refused", code, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("answer %s lacks %q", text, w)
			}
		}
		in.status("configuration: refused at ")
		if _, metrics := in.call(http.MethodGet, "/metrics", nil, nil, nil); !strings.Contains(metrics, "millrace_config_reload_ok 0") {
			t.Error("the metrics do not show it")
		}
	}
	refused("sources:\n  shop:\n    rules: {steps: [{dorp: 'true'}, {sett: {}}]}\n"+
		"rollups: {r: {metrics: {n: count()}, sets: [[x]]}}\nhtpp: 1\n",
		"line 3, column ", "steps[0].dorp", "steps[1].sett", "line 4, column ", "rollups.r.sets", "line 5, column 1: htpp")
	refused("queue: {partitions: 3}\nhttp: 127.0.0.1:1\n", "queue.partitions", "needs a restart")
	refused("rollups: {traffic: {metrics: {pv: sum(bytes)}, sets: [[]]}}\n", "metric pv")
	in.post("source=shop", lines)
	in.drain(4)
	check("2", "2")

	writeConfig(t, in.conf, `
sources: {shop: {rules: {steps: [{set: {colour: '"red"'}}]}}}
rollups: {cities: {dimensions: [city], sets: [[city]], metrics: {n: count()}}}
ingest: {max_line: 1KiB}
`)
	if code, text := in.reload(); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, text)
	}
	in.post("source=shop", lines)
	in.drain(6)
	check("2", "4")
	if got := in.sqlMap("SELECT attrs->>'colour', count(*) FROM events WHERE attrs->>'colour' IS NOT NULL GROUP BY ALL"); got["red"] != "2" {
		t.Errorf("coloured %v", got)
	}
	if got := in.sqlMap("SELECT city, sum(n) FROM rollup_cities WHERE granularity = '1m' AND dimension_set = 'city' GROUP BY ALL"); got["bonn"] != "1" {
		t.Errorf("cities %v, want what came after the reload", got)
	}
	if code, text := in.call(http.MethodGet, "/api/v1/rollups/cities", nil, nil, nil); code != http.StatusOK {
		t.Errorf("the new rollup: %d %s", code, text)
	}
	if code, _ := in.call(http.MethodPost, "/ingest?source=shop", strings.NewReader(strings.Repeat("x", 2000)+"\n"), nil, nil); code != http.StatusBadRequest {
		t.Errorf("a line over the new limit: %d", code)
	}
	if _, metrics := in.call(http.MethodGet, "/metrics", nil, nil, nil); !strings.Contains(metrics, "millrace_config_reload_ok 1") {
		t.Error("the metrics show a refusal")
	}
}

// countryDB is an MMDB file that has 192.0.2.0/24 in DE; encodeMMDB of package
// transform's tests made it.
const countryDB = "AAAYAAABAAAYAAACAAADAAAYAAAEAAAYAAAFAAAYAAAGAAAYAAAHAAAYAAAIAAAYAAAJAAAYAAAKAAAYAAALAAAYAAAMAAAYAAANAAAYAAAOAAAYAAAPAAAYAAAQ" +
	"AAAYAAARAAAYAAASAAAYAAATAAAYAAAUAAAYAAAVAAAYAAAWAAAYAAAYAAAXAAAoAAAYAAAAAAAAAAAAAAAAAAAAAOFHY291bnRyeeFIaXNvX2NvZGVCREWrze9N" +
	"YXhNaW5kLmNvbelbYmluYXJ5X2Zvcm1hdF9tYWpvcl92ZXJzaW9uogACW2JpbmFyeV9mb3JtYXRfbWlub3JfdmVyc2lvbqIAAEtidWlsZF9lcG9jaAgCAAAAAGVT" +
	"8QBNZGF0YWJhc2VfdHlwZUxUZXN0LUNvdW50cnlLZGVzY3JpcHRpb27hQmVuSW9mIGEgdGVzdEppcF92ZXJzaW9uogAESWxhbmd1YWdlcwAESm5vZGVfY291bnSi" +
	"ABhLcmVjb3JkX3NpemWiABg="

// TestReloadCountries: a reload reads the file of countries again; one that is no
// good refuses it as anything wrong in the configuration does, the status says so,
// and the countries stay.
func TestReloadCountries(t *testing.T) {
	db, err := base64.StdEncoding.DecodeString(countryDB)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "countries.mmdb")
	put := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(db)
	in := boot(t, "", "countries: "+file+"\nsources: {web: {rules: {steps: [{country: true}]}}}\n")
	sent := 0
	want := func(country, n string) {
		t.Helper()
		in.post("source=web", `{"client_ip":"192.0.2.7","message":"x"}`+"\n")
		sent++
		in.drain(sent)
		if got := in.sqlMap("SELECT attrs->>'country', count(*) FROM events GROUP BY ALL"); got[country] != n {
			t.Errorf("countries %v, want %s of %s", got, n, country)
		}
	}
	want("DE", "1")
	put([]byte("no database"))
	if code, text := in.reload(); code != http.StatusBadRequest || !strings.Contains(text, "countries: country database "+file) {
		t.Errorf("%d %s, want it refused", code, text)
	}
	in.status("configuration: refused at ", "country database "+file)
	want("DE", "2")
	put(bytes.Replace(db, []byte("BDE"), []byte("BFR"), 1))
	if code, text := in.reload(); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	want("FR", "1")
}

// status waits until the status has all of some texts.
func (in *instance) status(want ...string) {
	in.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, status := in.call(http.MethodGet, "/api/v1/status", nil, nil, nil)
		if !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(status, w) }) {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("status %s lacks %q", status, want)
		}
	}
}

// TestReloadBySignal: SIGHUP and a changed file do the same.
func TestReloadBySignal(t *testing.T) {
	in := spawn(t, t.TempDir(), reloadRules, "", "--watch")
	sent := 0
	filteredBy := func(reason string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			in.post("source=shop", `{"level":"debug","message":"a"}`)
			sent++
			in.drain(sent)
			got := in.sqlMap("SELECT reason, sum(events) FROM ledger WHERE sink = 'rollup' AND outcome = 'filtered' GROUP BY reason")
			if got[reason] != "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("filtered %v, want %s\n%s", got, reason, in.logs)
			}
		}
	}
	filteredBy("debug")
	writeConfig(t, in.conf, strings.Replace(reloadRules, "reason: debug", "reason: signal", 1))
	if err := in.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	filteredBy("signal")
	writeConfig(t, in.conf, strings.Replace(reloadRules, "reason: debug", "reason: watched_file", 1))
	filteredBy("watched_file")
}
