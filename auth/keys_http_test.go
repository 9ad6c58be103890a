package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func TestKeysHandler(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	h := KeysHandler(g.Guard, NewLimits(g.meta, func() time.Time { return g.now }))
	do := func(method, target, body, key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("X-Millrace-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	w := do("POST", KeysPath, `{"name":"nginx on web-1"}`, g.admn)
	var made KeyDocument
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("POST: %d %s", w.Code, w.Body)
	}
	if made.Project != "default" || made.Scopes[0] != millrace.ScopeIngest || !strings.HasPrefix(made.Key, "mr_ingest_") {
		t.Errorf("made %+v", made)
	}
	if _, err := g.Authorize(request("POST", "/", "X-Millrace-Key", made.Key), millrace.ScopeIngest); err != nil {
		t.Errorf("the new key: %v", err)
	}
	w = do("GET", KeysPath, "", g.admn)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), made.ID) ||
		strings.Contains(w.Body.String(), made.Key) || strings.Contains(w.Body.String(), Hash(made.Key)) {
		t.Errorf("GET: %d %s", w.Code, w.Body)
	}
	f := func(method, target, body, key string, want int) {
		t.Helper()
		if w := do(method, target, body, key); w.Code != want {
			t.Errorf("%s %s %s: %d %s, want %d", method, target, body, w.Code, w.Body, want)
		}
	}
	f("POST", KeysPath, `{"scope":"root"}`, g.admn, 400)
	f("POST", KeysPath, `{"project":"a b"}`, g.admn, 400)
	f("POST", KeysPath, `{"nmae":"x"}`, g.admn, 400)
	f("POST", KeysPath, `{"name":"`+strings.Repeat("x", 5000)+`"}`, g.admn, 400)
	f("DELETE", KeysPath+"/nobody", "", g.admn, 404)
	f("PATCH", KeysPath+"/nobody", "{}", g.admn, 404)
	f("PATCH", KeysPath+"/"+made.ID, `{"event_rate":-1}`, g.admn, 400)
	f("PATCH", KeysPath+"/"+made.ID, `{"expires":"yesterday"}`, g.admn, 400)
	f("PATCH", KeysPath+"/"+made.ID, `{"name":"x"}`, g.admn, 400)
	f("PATCH", KeysPath+"/"+made.ID, `{}`, g.read, 403)
	f("POST", KeysPath, `{"day_events":-5}`, g.admn, 400)
	f("GET", KeysPath, "", g.read, 403)
	f("GET", KeysPath, "", "", 401)
}

// Limits are given with a key, shown, changed one by one, and count at once.
func TestKeysHandlerLimits(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	limits := NewLimits(g.meta, func() time.Time { return g.now })
	h := KeysHandler(g.Guard, limits)
	do := func(method, target, body string, want int, into any) {
		t.Helper()
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("X-Millrace-Key", g.admn)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	var made, changed KeyDocument
	do("POST", KeysPath, `{"project":"web","expires":"90d","event_rate":5,"day_bytes":1000}`, 201, &made)
	if made.Expires == nil || !made.Expires.Equal(g.now.Add(90*24*time.Hour)) || made.Limits != (LimitDocument{EventRate: 5, DayBytes: 1000}) {
		t.Errorf("made %+v", made)
	}
	if want := DSN(&url.URL{Scheme: "http", Host: "example.com"}, made.Key, "web"); made.DSN != want {
		t.Errorf("dsn %q, want %q", made.DSN, want)
	}
	who := func() *Principal {
		t.Helper()
		p, err := g.AuthorizeKey(t.Context(), made.Key, millrace.ScopeIngest)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := limits.Admit(who(), 1, 1001); ReasonOf(err) != "byte_quota" {
		t.Errorf("above the quota: %v", err)
	}
	do("PATCH", KeysPath+"/"+made.ID, `{"expires":"never","day_bytes":0,"event_burst":7}`, 200, &changed)
	if changed.Expires != nil || changed.Limits != (LimitDocument{EventRate: 5, EventBurst: 7}) || changed.Key != "" || changed.DSN != "" {
		t.Errorf("changed %+v", changed)
	}
	if err := limits.Admit(who(), 8, 1001); err != nil {
		t.Error(err)
	}
	limits.Refused(made.ID, "event_rate", 1, 8, 9)
	limits.Refused("", "unknown_key", 3, 0, 0)
	var list struct{ Keys []KeyDocument }
	do("GET", KeysPath, "", 200, &list)
	want := []UsageDocument{{"2023-11-14", "", 1, 8, 1001}, {"2023-11-14", "event_rate", 1, 8, 9}}
	i := slices.IndexFunc(list.Keys, func(k KeyDocument) bool { return k.ID == made.ID })
	if got := list.Keys[i]; !slices.Equal(got.Today, want) || got.Limits != changed.Limits || got.Key != "" || got.DSN != "" {
		t.Errorf("listed %+v", got)
	}
	var usage struct{ Usage []UsageDocument }
	do("GET", KeysPath+"/"+made.ID+"/usage", "", 200, &usage)
	if !slices.Equal(usage.Usage, want) {
		t.Errorf("usage %+v", usage.Usage)
	}
	do("GET", KeysPath+"/unknown/usage", "", 200, &usage)
	if !slices.Equal(usage.Usage, []UsageDocument{{"2023-11-14", "unknown_key", 3, 0, 0}}) {
		t.Errorf("usage of nobody %+v", usage.Usage)
	}
	var projects struct {
		Projects []struct {
			Name string
			Keys int
		}
	}
	do("GET", ProjectsPath, "", 200, &projects)
	if got := fmt.Sprint(projects.Projects); got != "[{default 0} {shop 3} {web 1}]" {
		t.Errorf("projects %s", got)
	}
}
