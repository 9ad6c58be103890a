package auth

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/millrace/millrace"
)

// prefix is what all our keys begin with.
const prefix = "mr_"

// credential returns the key given with the request, "" if none.
func credential(r *http.Request, scope millrace.Scope) string {
	if secret := authorization(r.Header.Get("Authorization"), scope); secret != "" {
		return secret
	}
	if secret := r.Header.Get("X-Millrace-Key"); secret != "" {
		return secret
	}
	// Query strings end up in logs, which is acceptable for a key that can
	// only add lines, and not for others.
	if scope == millrace.ScopeIngest && strings.Contains(r.URL.RawQuery, "key=") {
		return r.URL.Query().Get("key")
	}
	return ""
}

// authorization returns the key in the value of an Authorization header, "" if
// there is none.
//
// Basic (RFC 7617) has it as the password, whatever the user, or as the user
// with an empty password. ApiKey, which Elasticsearch's clients send, has it
// alone or as the base64 of ID:KEY, whatever the ID. Of both only what looks
// like one of our keys counts: other credentials may be meant for a proxy on the
// way. And only where events are sent: a browser adds Basic to requests that
// other sites' pages make.
func authorization(header string, scope millrace.Scope) string {
	scheme, value, ok := strings.Cut(header, " ")
	if !ok {
		return ""
	}
	value = strings.TrimSpace(value)
	if strings.EqualFold(scheme, "Bearer") {
		return value
	}
	if scope != millrace.ScopeIngest {
		return ""
	}
	switch {
	case strings.EqualFold(scheme, "Basic"):
		return oursOf(value)
	case strings.EqualFold(scheme, "ApiKey"):
		if strings.HasPrefix(value, prefix) {
			return value
		}
		return oursOf(value)
	}
	return ""
}

// oursOf returns what looks like a key of ours in the base64 of NAME:SECRET, or
// of SECRET: or SECRET.
func oursOf(encoded string) string {
	if len(encoded) > 4*maxKey { // names are short, too
		return ""
	}
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return ""
	}
	name, secret, _ := strings.Cut(string(text), ":")
	if secret == "" {
		secret = name
	}
	if !strings.HasPrefix(secret, prefix) {
		return ""
	}
	return secret
}
