package transform

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Explicit patterns name the templates of paths that their segments fit:
//
//	/api/orders/{id}/items/{item}    a named segment
//	/files/*/thumb                   any segment
//	/files/{name}.pdf, /v/order-*    a part of a segment, one per segment
//	/static/**                       whatever follows, also nothing
//
// The template is the pattern as written. At every segment a literal goes before
// a part, the longest text before the shorter, a part before a whole segment,
// and ** is last; where that leads nowhere the next is tried.

// urlNode is a node of the trie of explicit patterns. What a path can reach in
// it is bounded by the number of nodes, since each has one way from the root.
type urlNode struct {
	children map[string]*urlNode
	parts    []urlPart // in order of precedence
	wild     *urlNode
	names    []string // how the patterns through wild write it
	end      string   // the pattern that ends here, or ""
	deep     string   // the pattern that ends with ** here, or ""
}

// urlPart matches a segment with a fixed start and end.
type urlPart struct {
	prefix, suffix, name string
	next                 *urlNode
}

// find returns the pattern that the segments from i on fit, or "".
func (n *urlNode) find(s *urlScratch, i int) string {
	if i == s.n {
		if n.end != "" && !s.rest {
			return n.end
		}
		return n.deep
	}
	if n.children == nil && n.wild == nil && n.parts == nil {
		return n.deep
	}
	seg := s.segment(i)
	if c := n.children[string(seg)]; c != nil {
		if p := c.find(s, i+1); p != "" {
			return p
		}
	}
	for j := range n.parts {
		if p := &n.parts[j]; p.fits(seg) {
			if found := p.next.find(s, i+1); found != "" {
				return found
			}
		}
	}
	if n.wild != nil && n.fits(seg) {
		if p := n.wild.find(s, i+1); p != "" {
			return p
		}
	}
	return n.deep
}

func (p *urlPart) fits(seg []byte) bool {
	if len(seg) <= len(p.prefix)+len(p.suffix) || string(seg[:len(p.prefix)]) != p.prefix || string(seg[len(seg)-len(p.suffix):]) != p.suffix {
		return false
	}
	value := seg[len(p.prefix) : len(seg)-len(p.suffix)]
	return bytes.IndexByte(value, '{') < 0 || string(value) == p.name
}

// fits reports whether the wildcard takes a segment: any that is not a template
// itself, so that to apply the rules twice changes nothing.
func (n *urlNode) fits(seg []byte) bool {
	return bytes.IndexByte(seg, '{') < 0 || slices.Contains(n.names, string(seg))
}

func (t *Templates) compileExplicit(report func(path, format string, args ...any)) {
	t.explicit = &urlNode{}
	owner := map[string]int{} // pattern with its names left out, to its index
	for i, p := range t.options.Patterns {
		path := fmt.Sprintf("patterns[%d]", i)
		segments, deep, why := parseURLPattern(p, t.options.IgnoreCase)
		if why != "" {
			report(path, "%s", why)
			continue
		}
		var shape strings.Builder
		node := t.explicit
		for _, seg := range segments {
			next, clash := node.extend(seg)
			if clash != "" {
				report(path, "%q and %q in another pattern may fit the same segment and neither is more specific", seg.text, clash)
			}
			node = next
			shape.WriteString("/" + seg.shape())
		}
		if deep {
			shape.WriteString("/**")
		}
		if first, twice := owner[shape.String()]; twice {
			report(path, "%q fits the same paths as patterns[%d], %q", p, first, t.options.Patterns[first])
			continue
		}
		owner[shape.String()] = i
		text := "/" + joinSegments(segments)
		if deep {
			node.deep = strings.TrimSuffix(text, "/") + "/**"
		} else {
			node.end = text
		}
	}
}

// urlPatternSegment is a literal, or a wildcard with literal text around it.
type urlPatternSegment struct {
	text           string // as it is written
	wild           bool
	prefix, suffix string
}

func (p urlPatternSegment) shape() string {
	if !p.wild {
		return p.text
	}
	return p.prefix + "\x00" + p.suffix
}

func joinSegments(segments []urlPatternSegment) string {
	texts := make([]string, len(segments))
	for i, s := range segments {
		texts[i] = s.text
	}
	return strings.Join(texts, "/")
}

// extend returns the node behind a segment. clash is another part that may fit
// the same text and is as long.
func (n *urlNode) extend(seg urlPatternSegment) (next *urlNode, clash string) {
	if !seg.wild {
		if n.children == nil {
			n.children = map[string]*urlNode{}
		}
		if n.children[seg.text] == nil {
			n.children[seg.text] = &urlNode{}
		}
		return n.children[seg.text], ""
	}
	if seg.prefix == "" && seg.suffix == "" {
		if n.wild == nil {
			n.wild = &urlNode{}
		}
		n.names = append(n.names, seg.text)
		return n.wild, ""
	}
	for _, p := range n.parts {
		if p.prefix == seg.prefix && p.suffix == seg.suffix {
			return p.next, ""
		}
		if len(p.prefix)+len(p.suffix) == len(seg.prefix)+len(seg.suffix) &&
			(strings.HasPrefix(p.prefix, seg.prefix) || strings.HasPrefix(seg.prefix, p.prefix)) &&
			(strings.HasSuffix(p.suffix, seg.suffix) || strings.HasSuffix(seg.suffix, p.suffix)) {
			clash = p.prefix + p.name + p.suffix
		}
	}
	part := urlPart{seg.prefix, seg.suffix, seg.text[len(seg.prefix) : len(seg.text)-len(seg.suffix)], &urlNode{}}
	n.parts = append(n.parts, part)
	slices.SortStableFunc(n.parts, func(a, b urlPart) int {
		return len(b.prefix) + len(b.suffix) - len(a.prefix) - len(a.suffix)
	})
	return part.next, clash
}

// parseURLPattern cuts a pattern into segments. why says what is wrong with it.
func parseURLPattern(p string, fold bool) (segments []urlPatternSegment, deep bool, why string) {
	switch {
	case len(p) > MaxURLPattern:
		return nil, false, fmt.Sprintf("a pattern of %d bytes; must be at most %d", len(p), MaxURLPattern)
	case !strings.HasPrefix(p, "/"):
		return nil, false, fmt.Sprintf("%q must start with /", p)
	case strings.ContainsAny(p, "?#;"):
		return nil, false, fmt.Sprintf("%q must be a path: without query string, fragment or parameters", p)
	}
	rest := strings.TrimSuffix(p[1:], "/")
	if rest == "" {
		return nil, false, ""
	}
	texts := strings.Split(rest, "/")
	if texts[len(texts)-1] == "**" {
		deep, texts = true, texts[:len(texts)-1]
	}
	if len(texts) > maxURLSegments {
		return nil, false, fmt.Sprintf("%q has %d segments; must be at most %d", p, len(texts), maxURLSegments)
	}
	for _, text := range texts {
		seg, why := parsePatternSegment(text, fold)
		if why != "" {
			return nil, false, fmt.Sprintf("%q: %s", p, why)
		}
		segments = append(segments, seg)
	}
	return segments, deep, ""
}

func parsePatternSegment(text string, fold bool) (seg urlPatternSegment, why string) {
	if text == "" || text == "." {
		return seg, "a segment is empty"
	}
	if text == "**" {
		return seg, "** must be the last segment"
	}
	from := strings.IndexAny(text, "*{")
	if from < 0 {
		seg.text, why = literalSegment(text, fold)
		return seg, why
	}
	to := from + 1
	if text[from] == '{' {
		end := strings.IndexByte(text[from:], '}')
		if end < 0 {
			return seg, fmt.Sprintf("%q has no closing brace", text)
		}
		to = from + end + 1
		if name := text[from+1 : to-1]; !isName(name) {
			return seg, fmt.Sprintf("{%s} is not a name: letters, digits and _, up to 32", name)
		}
	}
	if strings.ContainsAny(text[to:], "*{") {
		return seg, fmt.Sprintf("%q has two wildcards; a segment may have one", text)
	}
	seg.wild = true
	for _, side := range []struct {
		dst  *string
		text string
	}{{&seg.prefix, text[:from]}, {&seg.suffix, text[to:]}} {
		if side.text == "" {
			continue
		}
		if *side.dst, why = literalSegment(side.text, fold); why != "" {
			return seg, why
		}
	}
	seg.text = seg.prefix + text[from:to] + seg.suffix
	return seg, ""
}

// literalSegment returns a literal as paths have it after normalize.
func literalSegment(text string, fold bool) (string, string) {
	if strings.Contains(text, "}") {
		return "", fmt.Sprintf("%q has no opening brace", text)
	}
	var s urlScratch
	s.add(text, fold)
	if s.n == 0 {
		return text, "" // a lone dot around a wildcard
	}
	return string(s.segment(0)), ""
}

// isName reports whether s is a letter or _ and up to 31 of these and digits.
func isName(s string) bool {
	if len(s) == 0 || len(s) > 32 || urlClass[s[0]]&urlDigit != 0 {
		return false
	}
	for i := range len(s) {
		if s[i] != '_' && (s[i] >= 0x80 || urlClass[s[i]]&urlAlnum == 0) {
			return false
		}
	}
	return true
}
