// Package auth decides who may do what: ingest keys, API tokens, and the
// sessions of the pages.
//
// The rule: while the server listens on loopback only, nothing needs a key;
// what protects it then are the checks in origin.go against web pages that a
// browser on the same machine has open. On any other address every request
// needs a key with the scope: `mr_ingest_…` to send, `mr_read_…` or
// `mr_admin_…` for pages and API. A key that is given is always checked, so
// that a wrong one is 401 on loopback too and is not found out only in
// production. Behind a reverse proxy on the same machine set require: always,
// since the proxy's requests come from loopback.
//
// Keys travel as `Authorization: Bearer KEY`, `X-Millrace-Key: KEY`, for
// ingest also as `?key=KEY` (beacons cannot set headers), and for the pages as
// a session cookie that the login form hands out. Only the SHA-256 of a key is
// stored: 256 random bits need no salt and no slow hash.
package auth
