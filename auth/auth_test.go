package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/meta"
)

type fixture struct {
	*Guard
	meta               millrace.Meta
	now                time.Time
	ingest, read, admn string
}

func setup(t *testing.T, opts Options, loopback bool) *fixture {
	t.Helper()
	m, err := meta.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	f := &fixture{meta: m, now: time.Unix(1_700_000_000, 0)}
	f.Guard = NewGuard(opts, loopback, m, func() time.Time { return f.now })
	f.ingest, f.read, f.admn = f.key(t, millrace.ScopeIngest), f.key(t, millrace.ScopeRead), f.key(t, millrace.ScopeAdmin)
	return f
}

func (f *fixture) key(t *testing.T, scope millrace.Scope) string {
	t.Helper()
	secret, key, err := NewKey("test", "shop", scope, f.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.meta.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return secret
}

func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost:8080"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestLoopback(t *testing.T) {
	f := func(addr string, want bool) {
		t.Helper()
		if got := Loopback(addr); got != want {
			t.Errorf("Loopback(%q) = %v", addr, got)
		}
	}
	for _, addr := range []string{"127.0.0.1:8080", "[::1]:80", "localhost:0", "127.9.9.9:1", "::1", "LOCALHOST.", "a.localhost:1", "[::ffff:127.0.0.1]:1"} {
		f(addr, true)
	}
	for _, addr := range []string{":8080", "0.0.0.0:8080", "[::]:80", "192.168.1.1:1", "example.com:80", "", "localhost.example.com", "127.0.0.1.example.com"} {
		f(addr, false)
	}
}

func TestKeysRequired(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	f := func(scope millrace.Scope, want millrace.Code, r *http.Request) {
		t.Helper()
		if _, err := g.Authorize(r, scope); millrace.ErrorCode(err) != want {
			t.Errorf("%s %s %v as %s: %v, want %q", r.Method, r.URL, r.Header, scope, err, want)
		}
	}
	f(millrace.ScopeIngest, millrace.ErrUnauthorized, request("POST", "/"))
	f(millrace.ScopeIngest, "", request("POST", "/", "Authorization", "Bearer "+g.ingest))
	f(millrace.ScopeIngest, "", request("POST", "/", "Authorization", "bearer  "+g.ingest))
	f(millrace.ScopeIngest, "", request("POST", "/", "X-Millrace-Key", g.ingest))
	f(millrace.ScopeIngest, "", request("POST", "/?key="+g.ingest))
	f(millrace.ScopeIngest, "", request("POST", "/?key="+g.ingest, "Authorization", "Basic YTpi"))
	for name, c := range map[string]struct {
		value string
		want  millrace.Code // of ingest; nothing else takes these schemes
	}{
		"password":           {"Basic " + b64("anyone:"+g.ingest), ""},
		"user":               {"basic " + b64(g.ingest+":"), ""},
		"user and password":  {"Basic " + b64(g.read+":"+g.ingest), ""},
		"wrong password":     {"Basic " + b64("anyone:mr_ingest_x"), millrace.ErrUnauthorized},
		"somebody else's":    {"Basic " + b64("anyone:hunter2"), millrace.ErrUnauthorized},
		"not base64":         {"Basic mr_ingest_!", millrace.ErrUnauthorized},
		"read":               {"Basic " + b64("anyone:"+g.read), millrace.ErrForbidden},
		"API key":            {"ApiKey " + b64("id:"+g.ingest), ""},
		"API key, no pad":    {"apikey " + strings.TrimRight(b64("id:"+g.ingest), "="), ""},
		"API key as it is":   {"ApiKey " + g.ingest, ""},
		"API key alone":      {"ApiKey " + b64(g.ingest), ""},
		"wrong API key":      {"ApiKey " + b64("id:mr_ingest_x"), millrace.ErrUnauthorized},
		"long":               {"Basic " + b64(strings.Repeat("x", 10000)+":"+g.ingest), millrace.ErrUnauthorized},
		"scheme without key": {"Basic", millrace.ErrUnauthorized},
		"other scheme":       {"Digest " + g.ingest, millrace.ErrUnauthorized},
	} {
		if _, err := g.Authorize(request("POST", "/", "Authorization", c.value), millrace.ScopeIngest); millrace.ErrorCode(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := g.Authorize(request("GET", "/", "Authorization", c.value), millrace.ScopeRead); millrace.ErrorCode(err) != millrace.ErrUnauthorized {
			t.Errorf("%s, to read: %v", name, err)
		}
	}
	f(millrace.ScopeIngest, "", request("POST", "/", "X-Millrace-Key", g.ingest, "Authorization", "Basic "+b64("proxy:hunter2")))
	f(millrace.ScopeIngest, "", request("POST", "/", "X-Millrace-Key", g.admn))
	f(millrace.ScopeIngest, millrace.ErrForbidden, request("POST", "/", "X-Millrace-Key", g.read))
	f(millrace.ScopeRead, "", request("GET", "/", "X-Millrace-Key", g.read))
	f(millrace.ScopeRead, millrace.ErrForbidden, request("GET", "/", "X-Millrace-Key", g.ingest))
	f(millrace.ScopeRead, millrace.ErrUnauthorized, request("GET", "/?key="+g.read))
	f(millrace.ScopeAdmin, millrace.ErrForbidden, request("GET", "/", "X-Millrace-Key", g.read))
	f(millrace.ScopeIngest, millrace.ErrUnauthorized, request("POST", "/", "X-Millrace-Key", g.ingest[:len(g.ingest)-1]))
	f(millrace.ScopeIngest, millrace.ErrUnauthorized, request("POST", "/", "X-Millrace-Key", strings.Repeat("x", 1000)))
	f(millrace.ScopeIngest, millrace.ErrUnauthorized, request("POST", "/", "Cookie", sessionCookie+"="+g.ingest))
	f(millrace.ScopeIngest, "", request("POST", "/", "X-Millrace-Key", g.ingest, "Host", "logs.example.com", "Origin", "https://shop.example.com"))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAlwaysRequiresKeysOnLoopback(t *testing.T) {
	g := setup(t, Options{Require: RequireAlways}, true)
	if _, err := g.Authorize(request("GET", "/"), millrace.ScopeRead); millrace.ErrorCode(err) != millrace.ErrUnauthorized {
		t.Errorf("got %v", err)
	}
}

func TestLoopbackNeedsNoKey(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, true)
	f := func(scope millrace.Scope, want millrace.Code, r *http.Request) {
		t.Helper()
		if _, err := g.Authorize(r, scope); millrace.ErrorCode(err) != want {
			t.Errorf("%s %s %v as %s: %v, want %q", r.Host, r.Method, r.Header, scope, err, want)
		}
	}
	for _, scope := range []millrace.Scope{millrace.ScopeIngest, millrace.ScopeRead, millrace.ScopeAdmin} {
		for _, host := range []string{"localhost:8080", "127.0.0.1:8080", "[::1]:8080", ""} {
			f(scope, "", request("POST", "/", "Host", host))
		}
		// A name re-bound to this machine.
		f(scope, millrace.ErrForbidden, request("GET", "/", "Host", "evil.example:8080"))
		// A key that is given must be right, a cookie may be old.
		f(scope, millrace.ErrUnauthorized, request("POST", "/", "X-Millrace-Key", "wrong"))
		f(scope, "", request("POST", "/", "Cookie", sessionCookie+"=old"))
		f(scope, "", request("POST", "/", "X-Millrace-Key", g.admn, "Host", "evil.example", "Origin", "https://evil.example"))
		// That holds for other ways to give one; what is no key of ours is ignored.
		f(scope, map[bool]millrace.Code{true: millrace.ErrUnauthorized}[scope == millrace.ScopeIngest],
			request("POST", "/", "Authorization", "Basic "+b64("u:mr_ingest_wrong")))
		f(scope, "", request("POST", "/", "Authorization", "Basic "+b64("u:hunter2")))
		f(scope, "", request("POST", "/", "Authorization", "ApiKey "+b64("u:hunter2")))
		// Our own page.
		f(scope, "", request("POST", "/", "Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"))
		// A page of another site.
		f(scope, millrace.ErrForbidden, request("POST", "/", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"))
		f(scope, millrace.ErrForbidden, request("POST", "/", "Origin", "https://evil.example"))
		f(scope, millrace.ErrForbidden, request("POST", "/", "Origin", "null", "Sec-Fetch-Site", "cross-site"))
	}
	local := request("POST", "/", "Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site")
	f(millrace.ScopeIngest, "", local)
	f(millrace.ScopeAdmin, millrace.ErrForbidden, local)
	f(millrace.ScopeIngest, millrace.ErrForbidden, request("GET", "/", "Sec-Fetch-Site", "cross-site"))
	f(millrace.ScopeIngest, millrace.ErrForbidden, request("GET", "/", "Sec-Fetch-Site", "cross-site", "Referer", "https://evil.example/"))
	f(millrace.ScopeIngest, "", request("GET", "/", "Sec-Fetch-Site", "cross-site", "Referer", "http://localhost:3000/"))
	// Reading across origins is stopped by the browser, which gets no CORS headers.
	f(millrace.ScopeRead, "", request("GET", "/", "Sec-Fetch-Site", "cross-site"))
}

func TestRevocation(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	r := request("POST", "/", "X-Millrace-Key", g.ingest)
	f := func(want millrace.Code) {
		t.Helper()
		if _, err := g.Authorize(r, millrace.ScopeIngest); millrace.ErrorCode(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("")
	key, err := g.meta.KeyByHash(t.Context(), Hash(g.ingest))
	if err != nil {
		t.Fatal(err)
	}
	// Another process revokes: it counts once the cache has run out.
	if err := g.meta.RevokeKey(t.Context(), key.ID, g.now); err != nil {
		t.Fatal(err)
	}
	f("")
	g.now = g.now.Add(cacheFor)
	f(millrace.ErrUnauthorized)
	// This process revokes: it counts at once.
	r = request("POST", "/", "X-Millrace-Key", g.read)
	if _, err := g.Authorize(r, millrace.ScopeRead); err != nil {
		t.Fatal(err)
	}
	key, err = g.meta.KeyByHash(t.Context(), Hash(g.read))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	KeysHandler(g.Guard, NewLimits(g.meta, func() time.Time { return g.now })).ServeHTTP(w, request("DELETE", KeysPath+"/"+key.ID, "X-Millrace-Key", g.admn))
	if w.Code != http.StatusNoContent {
		t.Fatalf("DELETE: %d %s", w.Code, w.Body)
	}
	if _, err := g.Authorize(r, millrace.ScopeRead); millrace.ErrorCode(err) != millrace.ErrUnauthorized {
		t.Errorf("after revocation: %v", err)
	}
}

func TestEnsureAdmin(t *testing.T) {
	m, err := meta.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	token, created, err := EnsureAdmin(t.Context(), m, time.Unix(1, 0))
	if err != nil || !created || !strings.HasPrefix(token, "mr_admin_") || len(token) != len("mr_admin_")+52 {
		t.Fatalf("first: %q, %v, %v", token, created, err)
	}
	if again, created, err := EnsureAdmin(t.Context(), m, time.Unix(2, 0)); again != "" || created || err != nil {
		t.Fatalf("second: %q, %v, %v", again, created, err)
	}
	g := NewGuard(Options{Require: RequireAuto}, false, m, time.Now)
	if _, err := g.Authorize(request("GET", "/", "Authorization", "Bearer "+token), millrace.ScopeAdmin); err != nil {
		t.Error(err)
	}
}

func TestProject(t *testing.T) {
	key := func(scope millrace.Scope) *Principal {
		return &Principal{&millrace.Key{Project: "shop", Scopes: []millrace.Scope{scope}}}
	}
	f := func(p *Principal, asked, want string, code millrace.Code) {
		t.Helper()
		if got, err := p.Project(asked); got != want || millrace.ErrorCode(err) != code {
			t.Errorf("asked %q: %q, %v; want %q, %q", asked, got, err, want, code)
		}
	}
	f(&Principal{}, "", "default", "")
	f(&Principal{}, "web", "web", "")
	f(&Principal{}, "no such/name", "", millrace.ErrInvalid)
	f(key(millrace.ScopeIngest), "", "shop", "")
	f(key(millrace.ScopeIngest), "shop", "shop", "")
	f(key(millrace.ScopeIngest), "web", "", millrace.ErrForbidden)
	f(key(millrace.ScopeAdmin), "web", "web", "")
}

func TestLogin(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	mux := http.NewServeMux()
	mux.Handle(LoginPath, g.Login())
	mux.Handle(LogoutPath, g.Logout())
	mux.Handle("/", g.Require(millrace.ScopeRead, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(From(r.Context()).Key.Name))
	})))
	do := func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Result()
	}
	post := func(path string, form url.Values, header ...string) *http.Request {
		r := request("POST", path, append(header, "Content-Type", "application/x-www-form-urlencoded")...)
		var body bytes.Buffer
		body.WriteString(form.Encode())
		r2 := httptest.NewRequest("POST", path, &body)
		r2.Header, r2.Host = r.Header, r.Host
		return r2
	}
	want := func(res *http.Response, status int, location string) {
		t.Helper()
		if res.StatusCode != status || res.Header.Get("Location") != location {
			t.Errorf("%d to %q, want %d to %q", res.StatusCode, res.Header.Get("Location"), status, location)
		}
	}
	// A page leads to the form, a program gets 401.
	want(do(request("GET", "/traffic?a=b", "Accept", "text/html")), 303, "/login?next=%2Ftraffic%3Fa%3Db")
	want(do(request("GET", "/api/v1/x", "Accept", "text/html")), 401, "")
	want(do(request("GET", "/traffic")), 401, "")
	want(do(request("GET", "/login")), 200, "")
	// Wrong tokens, also one that may not read.
	want(do(post("/login", url.Values{"token": {"mr_admin_wrong"}})), 401, "")
	want(do(post("/login", url.Values{"token": {g.ingest}})), 403, "")
	want(do(post("/login", url.Values{"token": {g.admn}}, "Origin", "https://evil.example")), 403, "")
	// The right one.
	res := do(post("/login", url.Values{"token": {" " + g.admn + "\n"}, "next": {"/traffic?a=b"}}))
	want(res, 303, "/traffic?a=b")
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || strings.Contains(c.Value, "mr_") {
		t.Errorf("cookie %v", c)
	}
	cookie := c.Name + "=" + c.Value
	want(do(request("GET", "/", "Cookie", cookie)), 200, "")
	want(do(request("POST", "/", "Cookie", cookie)), 200, "")
	want(do(request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site")), 403, "")
	want(do(post("/logout", nil, "Cookie", cookie, "Sec-Fetch-Site", "cross-site")), 403, "")
	want(do(post("/logout", nil, "Cookie", cookie)), 303, "/login")
	want(do(request("GET", "/", "Cookie", cookie)), 401, "")
	// A session ends with its time, and with its key.
	c = do(post("/login", url.Values{"token": {g.read}})).Cookies()[0]
	cookie = c.Name + "=" + c.Value
	want(do(request("GET", "/", "Cookie", cookie)), 200, "")
	g.now = g.now.Add(sessionFor)
	want(do(request("GET", "/", "Cookie", cookie)), 401, "")
}

func TestLocalPath(t *testing.T) {
	f := func(next, want string) {
		t.Helper()
		if got := localPath(next); got != want {
			t.Errorf("localPath(%q) = %q, want %q", next, got, want)
		}
	}
	f("/a?b=c#d", "/a?b=c#d")
	for _, next := range []string{"", "a", "//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", "/" + strings.Repeat("a", 3000)} {
		f(next, "/")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	var s sessions
	now := time.Unix(1, 0)
	first := s.create([32]byte{1}, now)
	for range maxSessions {
		now = now.Add(time.Second)
		s.create([32]byte{2}, now)
	}
	if len(s.byID) != maxSessions {
		t.Errorf("%d sessions, want %d", len(s.byID), maxSessions)
	}
	if _, ok := s.find(first, now); ok {
		t.Error("the oldest session was kept")
	}
}

// downMeta does not answer while it is down.
type downMeta struct {
	millrace.Meta
	down bool
	asks int
}

func (m *downMeta) KeyByHash(ctx context.Context, hash string) (*millrace.Key, error) {
	m.asks++
	if m.down {
		return nil, millrace.Errorf(millrace.ErrUnavailable, "down")
	}
	return m.Meta.KeyByHash(ctx, hash)
}

// While meta is down, keys that were in use go on, and others are not known.
func TestMetaDown(t *testing.T) {
	g := setup(t, Options{Require: RequireAuto}, false)
	m := &downMeta{Meta: g.meta}
	g.Guard = NewGuard(Options{Require: RequireAuto}, false, m, func() time.Time { return g.now })
	f := func(key string, want millrace.Code) {
		t.Helper()
		if _, err := g.Authorize(request("POST", "/", "X-Millrace-Key", key), millrace.ScopeIngest); millrace.ErrorCode(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(g.ingest, "")
	m.down, m.asks = true, 0
	f(g.admn, millrace.ErrUnavailable)
	g.now = g.now.Add(cacheFor)
	for range 4 {
		for range 10 {
			f(g.ingest, "")
		}
		g.now = g.now.Add(cacheFor)
	}
	if m.asks != 5 {
		t.Errorf("meta was asked %d times, want once per %v for the key in use", m.asks, cacheFor)
	}
	g.now = g.now.Add(trustFor)
	f(g.ingest, millrace.ErrUnavailable)
	f(g.ingest, millrace.ErrUnavailable)
	m.down = false
	g.now = g.now.Add(cacheFor)
	f(g.ingest, "")
	f(g.admn, "")
}

func BenchmarkAuthorize(b *testing.B) {
	m, err := meta.Open(b.Context(), filepath.Join(b.TempDir(), "meta.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	token, _, err := EnsureAdmin(b.Context(), m, time.Unix(1, 0))
	if err != nil {
		b.Fatal(err)
	}
	g := NewGuard(Options{Require: RequireAuto}, false, m, time.Now)
	r := request("POST", "/", "X-Millrace-Key", token)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Authorize(r, millrace.ScopeIngest); err != nil {
			b.Fatal(err)
		}
	}
}
