package transform

import (
	"fmt"
	"regexp"
	"strings"
)

// Grok patterns: regular expressions in which %{NAME} stands for a named one,
// %{NAME:field} keeps what it matches and %{NAME:field:type} types it. The names
// are those of Logstash, see grokPatterns.

// maxGrokDepth bounds how deep names may refer to names; cycles end there.
const maxGrokDepth = 20

// define takes the rule set's own patterns, which come before the standard ones.
func (c *compiler) define(defs []Definition) {
	c.names = make(map[string]string, len(defs))
	for _, d := range defs {
		path := "define." + d.Name
		if !isGrokName(d.Name) {
			c.bad(path, nil, "the name of a pattern must consist of letters, digits and _")
		}
		if len(d.Pattern) > MaxPattern {
			c.bad(path, nil, "has %d bytes; a pattern must have at most %d", len(d.Pattern), MaxPattern)
		}
		c.names[d.Name] = d.Pattern
	}
	for _, d := range defs {
		g := &grokExpansion{names: c.names}
		if err := g.expand(d.Pattern, 0); err != nil {
			c.bad("define."+d.Name, nil, "%v", err)
		} else if _, err := compileExpanded(g.out.String()); err != nil {
			c.bad("define."+d.Name, nil, "%v", err)
		}
	}
}

func isGrokName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) || c == '_') {
			return false
		}
	}
	return s != ""
}

// grokExpansion turns a grok pattern into a regular expression whose groups of
// fields are named g0, g1, …: fields may have any name, and one may stand in
// several alternatives.
type grokExpansion struct {
	names map[string]string
	out   strings.Builder
	group []grokGroup
}

type grokGroup struct{ field, typ string }

var grokRef = regexp.MustCompile(`%\{([^{}]*)\}`)

func (g *grokExpansion) expand(pattern string, depth int) error {
	if depth > maxGrokDepth {
		return fmt.Errorf("refers to itself, or deeper than %d names", maxGrokDepth)
	}
	last := 0
	for _, m := range grokRef.FindAllStringSubmatchIndex(pattern, -1) {
		g.out.WriteString(pattern[last:m[0]])
		last = m[1]
		if err := g.reference(pattern[m[2]:m[3]], depth); err != nil {
			return err
		}
		if g.out.Len() > maxExpanded {
			return fmt.Errorf("is longer than %d bytes when its names are replaced", maxExpanded)
		}
	}
	g.out.WriteString(pattern[last:])
	return nil
}

func (g *grokExpansion) reference(ref string, depth int) error {
	parts := strings.SplitN(ref, ":", 3)
	pattern, ok := g.names[parts[0]]
	if !ok {
		pattern, ok = grokPatterns[parts[0]]
	}
	if !ok {
		return fmt.Errorf("pattern %%{%s} is not known; define it, or see the reference for the standard names", parts[0])
	}
	if len(parts) == 1 {
		g.out.WriteString("(?:")
	} else {
		fmt.Fprintf(&g.out, "(?P<g%d>", len(g.group))
		field := parts[1]
		if strings.HasPrefix(field, "[") { // Logstash's [user][name]
			field = strings.Trim(strings.ReplaceAll(field, "][", "."), "[]")
		}
		group := grokGroup{field: field}
		if len(parts) == 3 {
			group.typ = parts[2]
		}
		g.group = append(g.group, group)
	}
	if err := g.expand(pattern, depth+1); err != nil {
		return err
	}
	g.out.WriteByte(')')
	return nil
}

func (c *compiler) grok(path, pattern string) textReader {
	if pattern == "" {
		c.bad(path, nil, "must be a grok pattern, not empty")
		return nil
	}
	if len(pattern) > MaxPattern {
		c.bad(path, nil, "has %d bytes; a pattern must have at most %d", len(pattern), MaxPattern)
		return nil
	}
	g := &grokExpansion{names: c.names}
	if err := g.expand(pattern, 0); err != nil {
		c.bad(path, nil, "%v", err)
		return nil
	}
	re, err := compileExpanded(g.out.String())
	if err != nil {
		c.bad(path, nil, "%v", err)
		return nil
	}
	r := &regexpReader{matcher: re, kind: "grok"}
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		r.groups = append(r.groups, c.grokGroup(path, g, i, name))
	}
	c.groups(path, r)
	return r
}

// grokGroup resolves the name of a group: one of the expansion's, or one that
// the pattern itself names.
func (c *compiler) grokGroup(path string, g *grokExpansion, index int, name string) group {
	for i, have := range g.group {
		if name != fmt.Sprintf("g%d", i) {
			continue
		}
		out := group{index: index, field: c.settable(path, have.field)}
		if have.typ != "" {
			out.typ = c.typeOf(path, have.typ)
		}
		return out
	}
	return group{index: index, field: c.settable(path, name)}
}
