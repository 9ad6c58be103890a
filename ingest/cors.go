package ingest

import "net/http"

// Pages of any origin may send events, and read the answer, which says nothing
// that they did not send. The origin is named instead of "*", with credentials,
// since navigator.sendBeacon always asks for them and a browser would not send
// one that needs a preflight (a Blob of application/json). What a cookie allows
// is not asked: auth refuses requests of other sites that bring no key.

// allowOrigin sets what lets the page that sent r read the answer.
func allowOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		h.Set("Access-Control-Allow-Origin", "*")
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
}

// preflight answers OPTIONS: browsers ask before they send anything that a form
// could not.
func preflight(w http.ResponseWriter, r *http.Request) {
	allowOrigin(w, r)
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST, GET")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, X-Millrace-Key, X-Millrace-Client, X-Millrace-Seq")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
