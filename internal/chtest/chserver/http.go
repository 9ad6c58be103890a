//go:build linux && amd64

package main

import (
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
)

// server is ClickHouse's HTTP interface over one engine. A request has a
// session of the engine to itself, unless it names one by session_id.
type server struct {
	engine         *engine
	user, password string
	maxBody        int64
	timezone       string
	version        string
	name           string
	sessions       sessions
}

func newServer(e *engine, o options) (*server, error) {
	facts, err := e.keep.query("SELECT timezone(), version(), displayName()", "TSV", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its version: %w", err)
	}
	f := strings.Split(strings.TrimSuffix(string(facts), "\n"), "\t")
	if len(f) != 3 {
		return nil, fmt.Errorf("ask the engine for its version: it answers %q", facts)
	}
	return &server{
		engine: e, user: o.user, password: o.password, maxBody: o.maxBody,
		timezone: f[0], version: f[1], name: f[2],
	}, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" || r.URL.Path == "/replicas_status" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	if r.URL.Path != "/" {
		http.Error(w, "There is no handle "+r.URL.Path, http.StatusNotFound)
		return
	}
	a := newAnswer(w, r)
	if err := s.request(a, r); err != nil {
		a.fail(err)
		return
	}
	a.finish()
}

// request runs the statement of one request.
func (s *server) request(a *answer, r *http.Request) error {
	values := r.URL.Query()
	if err := s.authenticate(r, values); err != nil {
		return err
	}
	if s.maxBody > 0 {
		r.Body = http.MaxBytesReader(a.w, r.Body, s.maxBody)
	}
	body, err := decoded(r, values)
	if err != nil {
		return err
	}
	st, err := readStatement(values.Get("query"), body, values)
	if err != nil {
		return err
	}
	a.w.Header().Set("X-ClickHouse-Timezone", s.timezone)
	if values.Get("query_id") == "" {
		values.Set("query_id", rand.Text())
	}
	if values.Get("log_comment") == "" {
		values.Set("log_comment", values.Get("query_id"))
	}
	a.w.Header().Set("X-ClickHouse-Query-Id", values.Get("query_id"))
	if st.isHello() {
		return a.hello(s)
	}
	c, release, err := s.session(values)
	if err != nil {
		return err
	}
	defer release()
	if err := prepare(c, r.Method, values); err != nil {
		return err
	}
	if err := c.single(st.text); err != nil {
		return err
	}
	if values.Get("cancel_http_readonly_queries_on_client_close") == "1" && st.selects() {
		defer s.killWhenGone(r.Context(), values)()
	}
	return s.run(c, a, st, values)
}

// killWhenGone ends the statement of a request when its client goes away before
// the returned function is called.
func (s *server) killWhenGone(ctx context.Context, values url.Values) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c, err := s.engine.connect()
		if err != nil {
			return // the statement goes on to its end
		}
		defer c.close()
		_, _ = c.query("KILL QUERY WHERE Settings['log_comment'] = "+quote(values.Get("log_comment"), '\'')+" ASYNC", "Null", nil)
	})
}

// run executes a statement on a session that is set up.
func (s *server) run(c *conn, a *answer, st *statement, values url.Values) error {
	params := make(map[string]string)
	for name, v := range values {
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			params[p] = v[0]
		}
	}
	if st.data != nil {
		rows, err := c.insert(st.text, st.format, params, st.data)
		if err != nil {
			return tooLarge(err)
		}
		a.w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"written_rows":"%d"}`, rows))
		return nil
	}
	format := values.Get("default_format")
	if format == "" {
		format = "TabSeparated"
	}
	a.format = format
	if !st.selects() || values.Get("wait_end_of_query") == "1" {
		result, err := c.query(st.text, format, params)
		if err != nil {
			return err
		}
		return a.write(result)
	}
	return c.stream(st.text, format, params, a.write)
}

// authenticate checks name and password, wherever the client puts them.
func (s *server) authenticate(r *http.Request, values url.Values) error {
	user, password, ok := r.BasicAuth()
	if !ok {
		user, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	}
	if user == "" {
		user, password = values.Get("user"), values.Get("password")
	}
	if user == "" {
		user = "default"
	}
	if user == s.user && subtle.ConstantTimeCompare([]byte(password), []byte(s.password)) == 1 {
		return nil
	}
	return raise(codeAuthenticationFailed,
		user+": Authentication failed: password is incorrect, or there is no user with such name.", "AUTHENTICATION_FAILED")
}

// decoded undoes the compression of the request, of HTTP and of ClickHouse.
func decoded(r *http.Request, values url.Values) (io.Reader, error) {
	var body io.Reader = r.Body
	var err error
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "":
	case "gzip":
		body, err = gzip.NewReader(body)
	case "deflate":
		body, err = zlib.NewReader(body)
	default:
		return nil, raise(48, "Unsupported compression of the request: "+enc, "NOT_IMPLEMENTED")
	}
	if err != nil {
		return nil, raise(codeCannotReadAllData, "Cannot decompress the request: "+err.Error(), "CANNOT_READ_ALL_DATA")
	}
	if values.Get("decompress") == "1" {
		body = &frames{r: compress.NewReader(body)}
	}
	return body, nil
}

// frames reads ClickHouse's compressed frames; the end of the input between two
// frames is the end of the data.
type frames struct{ r io.Reader }

func (f *frames) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	return n, err
}

// notSettings are parameters of the URL that are no settings of the engine.
var notSettings = map[string]bool{
	"query": true, "database": true, "default_format": true, "compress": true, "decompress": true,
	"user": true, "password": true, "quota_key": true, "query_id": true, "session_id": true,
	"session_timeout": true, "session_check": true, "close_session": true, "stacktrace": true,
	"wait_end_of_query": true, "buffer_size": true, "client_protocol_version": true, "role": true,
	"enable_http_compression": true,
}

// prepare sets database and settings of the request. readonly comes last, since
// it forbids the others.
func prepare(c *conn, method string, values url.Values) error {
	if db := values.Get("database"); db != "" && db != "default" {
		if _, err := c.query("USE "+quote(db, '`'), "TSV", nil); err != nil {
			return err
		}
	}
	settings := make(map[string]string)
	for name, v := range values {
		if !notSettings[name] && !strings.HasPrefix(name, "param_") {
			settings[name] = v[0]
		}
	}
	if method == http.MethodGet && settings["readonly"] == "" {
		settings["readonly"] = "2"
	}
	readonly := settings["readonly"]
	delete(settings, "readonly")
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	sort.Strings(names)
	// One statement: each costs as much as a small query.
	for i, name := range names {
		names[i] = quote(name, '`') + " = " + quote(settings[name], '\'')
	}
	if len(names) > 0 {
		if _, err := c.query("SET "+strings.Join(names, ", "), "TSV", nil); err != nil {
			return err
		}
	}
	if readonly != "" && readonly != "0" {
		return c.set("readonly", readonly)
	}
	return nil
}

func (c *conn) set(name, value string) error {
	_, err := c.query("SET "+quote(name, '`')+" = "+quote(value, '\''), "TSV", nil)
	return err
}

// quote writes a name or a text as ClickHouse reads it.
func quote(s string, q byte) string {
	var b strings.Builder
	b.WriteByte(q)
	for i := range len(s) {
		if s[i] == q || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte(q)
	return b.String()
}

// tooLarge turns the limit of the request's size into an exception.
func tooLarge(err error) error {
	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		return raise(codeTooManyBytes, fmt.Sprintf("The request has more than %d bytes", limit.Limit), "TOO_MANY_BYTES")
	}
	return err
}
