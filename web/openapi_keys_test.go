package web

import (
	"context"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// keyMeta has one key, k1.
type keyMeta struct{ millrace.Meta }

func (keyMeta) Keys(context.Context) ([]*millrace.Key, error) {
	at := time.Unix(1_700_000_000, 0).UTC()
	return []*millrace.Key{{ID: "k1", Name: "n", Project: "p", Scopes: []millrace.Scope{millrace.ScopeIngest}, Created: at, Expires: at.AddDate(100, 0, 0), Limits: millrace.KeyLimits{EventRate: 5}}}, nil
}
func (keyMeta) CreateKey(context.Context, *millrace.Key) error                    { return nil }
func (keyMeta) RevokeKey(context.Context, string, time.Time) error                { return nil }
func (keyMeta) SetUsage(context.Context, int64, int64, []millrace.KeyUsage) error { return nil }
func (keyMeta) ChangeKey(context.Context, string, time.Time, millrace.KeyLimits) error {
	return nil
}

func (keyMeta) Usage(context.Context, int64, int64) ([]millrace.KeyUsage, error) {
	return []millrace.KeyUsage{{Day: 20_000, Key: "k1", Requests: 1, Events: 2, Bytes: 3}}, nil
}

// TestOpenAPIKeys sends each documented request, and looks whether the answer has
// the status and no member but the documented ones.
func TestOpenAPIKeys(t *testing.T) {
	now := func() time.Time { return time.Unix(1_700_000_000, 0) }
	guard := auth.NewGuard(auth.Options{}, true, keyMeta{}, now)
	keys := auth.KeysHandler(guard, auth.NewLimits(keyMeta{}, now))
	if len((&Server{}).keyOperations()) > 0 {
		t.Error("documented, but not there")
	}
	srv := &Server{Deps: Deps{Guard: guard, Keys: keys}}
	doc, err := srv.openapi(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := doc.(map[string]any)["paths"].(map[string]map[string]any)["/api/v1/keys/{id}"]["delete"]; !ok {
		t.Error("the operations are not in the document")
	}
	for _, op := range srv.keyOperations() {
		body := ""
		if op.body != nil {
			props := slices.Sorted(maps.Keys(op.body["properties"].(map[string]any)))
			body = keyBody(props)
		}
		r := httptest.NewRequest(strings.ToUpper(op.method), strings.ReplaceAll(op.path, "{id}", "k1"), strings.NewReader(body))
		r.Host = "localhost" // needs no key
		w := httptest.NewRecorder()
		keys.ServeHTTP(w, r)
		want := map[string]int{"": 200, "201": 201, "204": 204}[op.status]
		if w.Code != want {
			t.Errorf("%s %s: %d %s", op.method, op.path, w.Code, w.Body)
			continue
		}
		if op.answer == nil {
			continue
		}
		var answer any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		checkSchema(t, op.method+" "+op.path, op.answer, answer)
	}
	// Every field that the types have is documented.
	sameFields(t, reflect.TypeFor[auth.KeyDocument](), keySchema)
	sameFields(t, reflect.TypeFor[auth.UsageDocument](), usageSchema)
	sameFields(t, reflect.TypeFor[auth.NewKeyRequest](), keyOperations[1].body)
	sameFields(t, reflect.TypeFor[auth.LimitChange](), keyOperations[2].body)
}

// keyBody is a request with all of the members; the handler refuses unknown ones.
func keyBody(names []string) string {
	values := map[string]string{"name": `"n"`, "project": `"p"`, "scope": `"read"`, "expires": `"90d"`}
	var members []string
	for _, name := range names {
		value := values[name]
		if value == "" {
			value = "7"
		}
		members = append(members, `"`+name+`":`+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// checkSchema fails the test if value has a member that the schema does not name.
func checkSchema(t *testing.T, at string, schema map[string]any, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		props, _ := schema["properties"].(map[string]any)
		for name, member := range v {
			inner, ok := props[name].(map[string]any)
			if !ok {
				t.Errorf("%s: %s is not documented", at, name)
				continue
			}
			checkSchema(t, at+" "+name, inner, member)
		}
	case []any:
		for _, element := range v {
			checkSchema(t, at+"[]", schema["items"].(map[string]any), element)
		}
	}
}

func sameFields(t *testing.T, of reflect.Type, schema map[string]any) {
	t.Helper()
	var have []string
	for _, f := range reflect.VisibleFields(of) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			have = append(have, name)
		}
	}
	slices.Sort(have)
	if want := slices.Sorted(maps.Keys(schema["properties"].(map[string]any))); !slices.Equal(have, want) {
		t.Errorf("%s has %q, documented are %q", of, have, want)
	}
}
