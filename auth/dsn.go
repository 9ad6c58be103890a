package auth

import (
	"net/url"
	"strconv"
)

// ProjectNumber returns the number that stands for a project where a client takes
// only numbers, as Sentry's SDKs do in their DSNs: FNV-1a with 32 bits (Fowler,
// Noll, Vo) of the name without the highest bit, and at least 2. It is the same
// for ever. Two projects may have the same number: a key decides whose events
// are, the number only has to fit.
func ProjectNumber(project string) uint32 {
	h := uint32(2166136261)
	for i := range len(project) {
		h = (h ^ uint32(project[i])) * 16777619
	}
	return max(h&(1<<31-1), 2)
}

// DSN returns what Sentry's SDKs take as their address: base, the server's URL
// (its path too, if a proxy mounts it below one), with an ingest key as the user
// and the project's number. Keys have letters, digits and '_' only, which is what
// the SDKs' patterns for the user allow.
func DSN(base *url.URL, secret, project string) string {
	u := url.URL{Scheme: base.Scheme, User: url.User(secret), Host: base.Host}
	return u.JoinPath(base.Path, strconv.Itoa(int(ProjectNumber(project)))).String()
}
