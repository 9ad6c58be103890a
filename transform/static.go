package transform

import (
	"fmt"
	"strings"
)

// StaticOptions say what a static resource is. Nil lists are the defaults.
type StaticOptions struct {
	// Extensions of paths, without dot; case does not matter.
	Extensions []string
	// ContentTypes are types such as text/css, or a whole class such as image/*.
	ContentTypes []string
}

// DefaultStatic returns what a page is made of beside its HTML. Documents that
// a person asks for, such as PDF, archives and feeds, are not among it.
func DefaultStatic() StaticOptions {
	return StaticOptions{
		Extensions: []string{
			"css", "js", "mjs", "map", "wasm", // code
			"avif", "bmp", "cur", "gif", "ico", "jpe", "jpeg", "jpg", "png", "svg", "svgz", "tif", "tiff", "webp", "xbm", // images
			"eot", "otf", "ttf", "woff", "woff2", // fonts
			"aac", "m4a", "mp3", "mp4", "m4s", "m4v", "mov", "mpeg", "mpg", "oga", "ogg", "ogv", "opus", "ts", "wav", "weba", "webm", // media
			"webmanifest",
		},
		ContentTypes: []string{
			"text/css", "text/javascript", "application/javascript", "application/x-javascript", "application/wasm",
			"application/manifest+json", "application/font-woff", "application/vnd.ms-fontobject", "application/x-font-ttf",
			"image/*", "font/*", "audio/*", "video/*",
		},
	}
}

// Limits of StaticOptions.
const (
	maxStaticEntries = 1000
	maxStaticEntry   = 100 // bytes
)

// Static tells static resources from pages and calls of an API. It does not
// change and is safe for concurrent use.
type Static struct {
	extensions map[string]struct{}
	types      map[string]struct{} // also classes, as "image/"
	longest    int                 // extension, in bytes
}

// NewStatic checks the options. Its error is an *Error with every violation.
func NewStatic(o StaticOptions) (*Static, error) {
	defaults := DefaultStatic()
	if o.Extensions == nil {
		o.Extensions = defaults.Extensions
	}
	if o.ContentTypes == nil {
		o.ContentTypes = defaults.ContentTypes
	}
	s := &Static{extensions: map[string]struct{}{}, types: map[string]struct{}{}}
	var bad []Violation
	report := func(path, format string, args ...any) {
		bad = append(bad, Violation{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	if n := max(len(o.Extensions), len(o.ContentTypes)); n > maxStaticEntries {
		report("", "a list of %d entries; must be at most %d", n, maxStaticEntries)
		return nil, &Error{bad}
	}
	for i, e := range o.Extensions {
		path := fmt.Sprintf("extensions[%d]", i)
		switch {
		case e == "" || len(e) > maxStaticEntry:
			report(path, "%q must have 1 to %d bytes", e, maxStaticEntry)
		case strings.ContainsAny(e, "./?# "):
			report(path, "%q must be an extension without its dot, such as css", e)
		}
		s.extensions[strings.ToLower(e)] = struct{}{}
		s.longest = max(s.longest, len(e))
	}
	for i, c := range o.ContentTypes {
		path := fmt.Sprintf("content_types[%d]", i)
		class, name, ok := strings.Cut(c, "/")
		switch {
		case len(c) > maxStaticEntry:
			report(path, "%q must have at most %d bytes", c, maxStaticEntry)
		case !ok || class == "" || name == "" || strings.ContainsAny(c, "; ") || strings.Contains(class, "*") || strings.Contains(name, "*") && name != "*":
			report(path, "%q must be a type such as text/css or a class such as image/*", c)
		}
		s.types[strings.ToLower(strings.TrimSuffix(c, "*"))] = struct{}{}
	}
	if len(bad) > 0 {
		return nil, &Error{bad}
	}
	return s, nil
}

// Matches reports whether a request was for a static resource: by the content
// type of the answer if there is one, with or without parameters, else by the
// extension of the path, which may have a query string. It does not allocate.
func (s *Static) Matches(path, contentType string) bool {
	if contentType != "" && contentType != "-" {
		return s.matchesType(contentType)
	}
	if i := strings.IndexAny(path, "?#;"); i >= 0 {
		path = path[:i]
	}
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 || len(path)-dot-1 > s.longest || strings.IndexByte(path[dot:], '/') >= 0 {
		return false
	}
	return inLower(s.extensions, path[dot+1:])
}

func (s *Static) matchesType(contentType string) bool {
	if i := strings.IndexByte(contentType, ';'); i >= 0 {
		contentType = contentType[:i]
	}
	contentType = strings.TrimSpace(contentType)
	if inLower(s.types, contentType) {
		return true
	}
	slash := strings.IndexByte(contentType, '/')
	return slash >= 0 && inLower(s.types, contentType[:slash+1])
}

// inLower reports whether a set has a word, folded to lower case.
func inLower(set map[string]struct{}, word string) bool {
	var buf [maxStaticEntry]byte
	if len(word) > len(buf) {
		return false
	}
	b := append(buf[:0], word...)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	_, ok := set[string(b)]
	return ok
}
