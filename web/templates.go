package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

//go:embed templates
var templateFiles embed.FS

// templates is one set per page, each with the layout.
type templates struct {
	byName map[string]*template.Template
	log    *slog.Logger
}

// dashboard is the page of Overview, Traffic and Pipeline.
var pageNames = []string{"dashboard", "logs", "exceptions", "issue", "types", "grouping", "error"}

func loadTemplates(a *assets, log *slog.Logger) (*templates, error) {
	funcs := template.FuncMap{
		"asset": a.url, "count": formatCount, "short": formatShort, "percent": formatPercent,
		"seconds": formatSeconds, "bytes": formatBytes, "stamp": stamp, "visible": visible,
		"json": func(c *chart) (template.JS, error) {
			s, err := c.Data()
			return template.JS(s), err //nolint:gosec // json.Marshal escapes < > &
		},
	}
	t := &templates{byName: map[string]*template.Template{}, log: log}
	for _, name := range pageNames {
		set, err := template.New(name).Funcs(funcs).ParseFS(templateFiles,
			"templates/layout.html", "templates/parts.html", "templates/stack.html", "templates/issues.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		t.byName[name] = set
	}
	return t, nil
}

// layout is what every page has.
type layout struct {
	Title   string
	Page    string // name of the page, for the navigation
	Version string
	V       *view // nil on the error page
	Nav     []navItem
	Presets []preset
	Rates   []preset
	Filters []filterChip
	Poll    string // how often to look again although nobody asked for it
	Plain   bool   // the page shows no range of time
	Session bool   // a session is open that can be ended
	Banner  string
}

type navItem struct {
	Label, Link string
	Current     bool
}

type preset struct {
	Label, Link string
	Current     bool
}

// filterChip is a filter in force and the way to drop it.
type filterChip struct{ Name, Value, Drop string }

type errorPage struct {
	layout
	Heading, Detail string
}

// render writes a page. It is made whole first, so that an error in a template
// is a 500 and not half a page.
func (t *templates) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := t.byName[name].ExecuteTemplate(&b, "layout", data); err != nil {
		t.log.Error("page could not be drawn", "page", name, "error", err)
		problem.Write(w, millrace.Errorf(millrace.ErrInternal, "the page could not be drawn"), nil)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	send(w, r, status, b.Bytes())
}
