package auth

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// Sessions of the pages. The login form takes a token with the scope read or
// admin and hands out a random session id in a cookie that scripts cannot read
// and other sites' pages do not send along with a POST. Sessions live in
// memory: a restart asks for the token again. They end with their key.

// LoginPath and LogoutPath are where Login and Logout must be mounted.
const (
	LoginPath  = "/login"
	LogoutPath = "/logout"
)

const (
	sessionCookie = "millrace_session"
	sessionFor    = 30 * 24 * time.Hour // long enough not to annoy daily users
	maxSessions   = 10_000              // 1 MB; only holders of a token can create one
	maxLoginForm  = 8 << 10             // a token and a path
)

type session struct {
	keyHash [sha256.Size]byte
	ends    time.Time
}

type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]session // by the hash of the id
}

func (s *sessions) create(keyHash [sha256.Size]byte, now time.Time) (id string) {
	id = random(secretBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= maxSessions {
		s.dropOldest(now)
	}
	if s.byID == nil {
		s.byID = map[[sha256.Size]byte]session{}
	}
	s.byID[sha256.Sum256([]byte(id))] = session{keyHash, now.Add(sessionFor)}
	return id
}

// dropOldest makes room: all that have ended, or else the one that ends first.
func (s *sessions) dropOldest(now time.Time) {
	var oldest [sha256.Size]byte
	var ends time.Time
	for id, v := range s.byID {
		if !now.Before(v.ends) {
			delete(s.byID, id)
		} else if ends.IsZero() || v.ends.Before(ends) {
			oldest, ends = id, v.ends
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
}

func (s *sessions) find(id string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.byID[sha256.Sum256([]byte(id))]
	return v, ok && now.Before(v.ends)
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(id)))
}

// sessionKey returns the key behind the request's cookie.
func (g *Guard) sessionKey(r *http.Request) (*millrace.Key, error) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil, refuse("", "no_key", millrace.ErrUnauthorized,
			"a key is required: Authorization: Bearer KEY, or X-Millrace-Key: KEY")
	}
	s, ok := g.sessions.find(c.Value, g.now())
	if !ok {
		return nil, millrace.Errorf(millrace.ErrUnauthorized, "the session has ended")
	}
	return g.lookupHash(r.Context(), s.keyHash)
}

//go:embed login.html
var loginHTML string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// Login shows the form (GET) and opens a session (POST). The style sheet is
// inline and there is no script, so that the form needs nothing else.
func (g *Guard) Login() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			next := localPath(r.URL.Query().Get("next"))
			if g.open {
				http.Redirect(w, r, next, http.StatusSeeOther)
				return
			}
			showLogin(w, http.StatusOK, next, "")
		case http.MethodPost:
			g.login(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}

func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	// Else a page could log the user in with a token of its own choice.
	if err := g.checkOrigin(r, millrace.ScopeRead, true); err != nil {
		problem.Write(w, err, nil)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginForm)
	if err := r.ParseForm(); err != nil {
		problem.Write(w, millrace.Errorf(millrace.ErrInvalid, "login form: at most %d bytes, form encoded", maxLoginForm), nil)
		return
	}
	next := localPath(r.PostForm.Get("next"))
	key, err := g.lookup(r.Context(), strings.TrimSpace(r.PostForm.Get("token")))
	if err == nil {
		_, err = g.allow(key, millrace.ScopeRead)
	}
	if err != nil {
		showLogin(w, problem.Status(millrace.ErrorCode(err)), next, millrace.ErrorMessage(err))
		return
	}
	var hash [sha256.Size]byte
	if _, err := hex.Decode(hash[:], []byte(key.Hash)); err != nil {
		problem.Write(w, err, nil)
		return
	}
	http.SetCookie(w, cookie(r, g.sessions.create(hash, g.now()), int(sessionFor.Seconds())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// Logout ends the session (POST).
func (g *Guard) Logout() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if err := g.checkOrigin(r, millrace.ScopeRead, true); err != nil {
			problem.Write(w, err, nil)
			return
		}
		if c, err := r.Cookie(sessionCookie); err == nil {
			g.sessions.end(c.Value)
		}
		http.SetCookie(w, cookie(r, "", -1))
		http.Redirect(w, r, LoginPath, http.StatusSeeOther)
	})
}

// cookie is Secure where the connection is, itself or up to a proxy in front.
func cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
}

func showLogin(w http.ResponseWriter, status int, next, message string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	// An error here means that the client is gone.
	_ = loginPage.Execute(w, struct{ Next, Message string }{next, message})
}

// localPath returns next if it is a path on this server, else "/": a link to
// the login form must not lead elsewhere. Browsers read \ as / and drop tabs
// and line ends.
func localPath(next string) string {
	if len(next) > 2048 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(c rune) bool { return c < ' ' || c == '\\' }) {
		return "/"
	}
	return next
}
