// Package web is the HTTP face of millrace: the API under /api/v1, the pages,
// and the mounts of ingest, keys and metrics. Handlers ask package query and
// hold no state; the state of a page is its URL.
//
// Files: web.go has the routes, api_*.go the API, page_*.go one page each on
// top of view.go (what the URL says), panel.go and chart.go (what a page
// shows); templates and static files are embedded and served under names that
// contain their hash.
package web
