package web

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"unicode/utf8"
)

// flash is what a page says once after an action: what was done and how to undo
// it. It travels in a cookie from the answer of the action to the page that
// follows, so that the URL of the page stays what can be shared and any node may
// answer. It holds nothing secret and grants nothing: undoing is a request of its
// own, checked as any other.
type flash struct {
	Text  string   `json:"t"`
	Error bool     `json:"e,omitempty"`
	Undo  []string `json:"u,omitempty"` // as form field undo has them, see act.go
}

const (
	flashCookie = "millrace_done"
	flashFor    = 60 // seconds; the page that follows takes it away
	// A cookie has at most 4 KB with its name and attributes (RFC 6265, 6.1).
	maxFlashText = 400
	maxFlash     = 3600
)

// set hands f to the next page.
func (f flash) set(w http.ResponseWriter, r *http.Request) {
	if len(f.Text) > maxFlashText {
		cut := maxFlashText
		for !utf8.RuneStart(f.Text[cut]) {
			cut--
		}
		f.Text = f.Text[:cut] + "…"
	}
	body, err := json.Marshal(f)
	if err != nil || base64.RawURLEncoding.EncodedLen(len(body)) > maxFlash {
		body, _ = json.Marshal(flash{Text: f.Text, Error: f.Error}) // without undo here: the log of each issue has it
	}
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString(body), Path: "/", MaxAge: flashFor,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// flashView is a flash as a page shows it.
type flashView struct {
	flash
	Action string // where undoing is posted
	Close  string // the page without it
}

// CanUndo reports whether there is something to undo.
func (f *flashView) CanUndo() bool { return len(f.Undo) > 0 && !f.Error }

// takeFlash returns what the action before said, and forgets it; nil if there was
// none.
func takeFlash(w http.ResponseWriter, v *view) *flashView {
	c, err := v.r.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: v.r.TLS != nil})
	f := &flashView{Action: v.here(), Close: v.here()}
	body, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(body, &f.flash) != nil || f.Text == "" {
		return nil
	}
	f.Text = visible(f.Text)
	return f
}

// here returns the URL of this page as it is, with its place.
func (v *view) here() string {
	if v.r.URL.RawQuery == "" {
		return v.Path
	}
	return v.Path + "?" + v.r.URL.RawQuery
}
