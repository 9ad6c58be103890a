package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// region is a part of a text that became a message.
type region struct {
	e        *millrace.Exception
	from, to int
}

// NewTemplate makes the template of the text that o is of, for a version of the
// fingerprint. It is nil if texts with other messages cannot be told to be read alike:
// if the fingerprint is made of a message, or the trace is none of those that
// OutlineOf knows. It costs three times what Read does; t keeps no part of the text.
func NewTemplate(version int, o *Outline) *Template {
	r, regions, opens := templateRegions(o)
	if r.Exception == nil || len(regions) > maxTemplateMessages {
		return nil
	}
	x := Explain(version, &r)
	if x.Basis == basisMessage || x.Fingerprint == "" {
		return nil
	}
	t := &Template{
		Type: strings.Clone(r.Exception.Type), Fingerprint: x.Fingerprint,
		own: slices.IndexFunc(regions, func(p region) bool { return p.e == r.Exception }),
		typ: strings.Clone(o.typ), thread: strings.Clone(o.thread), head: o.kind,
	}
	if r.Exception.Cause != nil {
		t.Cause, t.Caused = strings.Clone(r.Exception.Cause.Type), true
	}
	if t.own < 0 {
		return nil
	}
	if r.Language == langDotnet {
		for _, p := range regions {
			t.heads = append(t.heads, strings.Clone(p.e.Type))
		}
		t.literals = []string{strings.Clone(o.text[o.to:])}
	} else {
		t.cut(o, regions, opens)
	}
	messages := make([]string, 0, len(regions))
	for _, p := range regions {
		messages = append(messages, p.e.Message)
	}
	// What matching finds in the text itself must be what the parser found.
	if found, ok := t.Match(o, nil); !ok || !slices.Equal(found, messages) || !t.write(&r, regions) {
		return nil
	}
	return t
}

// templateRegions parses a text and tells which parts of it are messages, and how the
// lines of all but the first begin.
func templateRegions(o *Outline) (r millrace.Report, regions []region, opens []open) {
	p := atParser{text: o.text, record: true}
	switch language(o.text) {
	case java:
		r.Exception, r.Language = p.parse(javaFrame), langJava
	case dotnet:
		if o.kind != headLines {
			return r, nil, nil
		}
		r.Exception, r.Language = parseDotnet(o.text), langDotnet
		heads := strings.Count(o.text[o.begin:o.to], dotnetArrow) + 1
		for e := r.Exception; e != nil && len(regions) < heads; e = e.Cause {
			regions = append(regions, region{e: e})
		}
		return r, regions, nil
	default:
		r.Exception, r.Language = p.parse(v8Frame), langScript
		if !located(r.Exception) {
			r.Exception = nil
		}
	}
	if o.kind == headInline && p.chain.first != nil {
		regions = append(regions, region{e: p.chain.first})
	}
	return r, append(regions, p.regions...), p.opens
}

// cut takes the literals out of a text.
func (t *Template) cut(o *Outline, regions []region, opens []open) {
	at := o.to
	if t.head == headLines && len(opens) > 0 {
		opens = opens[1:] // the head's line is looked at by OutlineOf
	}
	for i, p := range regions[min(1, len(regions)):] {
		if i < len(opens) {
			t.opens = append(t.opens, open{strings.Clone(opens[i].typ), opens[i].back})
		}
		t.literals = append(t.literals, strings.Clone(o.text[at:p.from]))
		at = p.to
	}
	t.literals = append(t.literals, strings.Clone(o.text[at:]))
}

// write makes the pieces of the report; false if a text in it is longer than what is
// kept. The messages of r are lost.
func (t *Template) write(r *millrace.Report, regions []region) bool {
	for _, p := range regions {
		p.e.Message = "-"
	}
	w := reportWriter{dst: []byte(`{"v":1`), left: keepTree, recorded: []written{}}
	json := string(w.report(r))
	at, n := 0, -1
	for _, m := range w.recorded {
		i := slices.IndexFunc(regions, func(p region) bool { return p.e == m.e })
		if i < 0 {
			continue
		}
		t.pieces = append(t.pieces, piece{n, json[at:m.from]})
		at, n = m.to, i
	}
	t.pieces = append(t.pieces, piece{n, json[at:]})
	return !w.longer
}
