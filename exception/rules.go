package exception

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// Rule groups the exceptions that match it under a fingerprint of its own, so
// that users decide where the algorithm errs.
type Rule struct {
	Name  string    `json:"name"`
	Match []Matcher `json:"match"` // all must hold
	// Fingerprint is what makes two matching exceptions equal: text with
	// {{type}}, {{message}}, {{module}}, {{function}}, {{file}}, {{service}} and
	// {{default}} (the algorithm's fingerprint) replaced. Module, function and
	// file are those of the matched frame, else of the first in the application.
	Fingerprint string `json:"fingerprint"`
}

// Matcher compares one field: type and message of any exception of the chain,
// module, function and file of a frame, service, env and release of the event.
// The matchers of frames must all hold for one frame. In a pattern '*' stands
// for any text and '?' for one byte; letters are compared as they are.
type Matcher struct {
	Field   string `json:"field"`
	Pattern string `json:"pattern"`
	Not     bool   `json:"not,omitempty"` // holds where the pattern does not match
}

// Origin is what rules know of the event around the exception.
type Origin struct{ Service, Env, Release string }

var (
	ruleFields        = []string{"type", "message", "module", "function", "file", "service", "env", "release"}
	rulePlaceholders  = []string{"type", "message", "module", "function", "file", "service", "default"}
	errRuleMatchless  = errors.New("it matches everything: give at least one matcher")
	errRuleNoIdentity = errors.New("the fingerprint is empty")
)

// maxPattern bounds a pattern, maxRuleText what a rule puts into a fingerprint.
const (
	maxPattern  = 1024
	maxRuleText = 4096
)

// CheckRule tells what is wrong with r: an unknown field or placeholder, no
// matcher, no fingerprint, a pattern longer than 1,024 bytes.
func CheckRule(r *Rule) error {
	fail := func(err error) error { return fmt.Errorf("check fingerprint rule %q: %w", r.Name, err) }
	if len(r.Match) == 0 {
		return fail(errRuleMatchless)
	}
	if strings.TrimSpace(r.Fingerprint) == "" {
		return fail(errRuleNoIdentity)
	}
	for _, m := range r.Match {
		if !slices.Contains(ruleFields, m.Field) {
			return fail(fmt.Errorf("unknown field %q, use one of %s", m.Field, strings.Join(ruleFields, ", ")))
		}
		if len(m.Pattern) > maxPattern {
			return fail(fmt.Errorf("the pattern for %s has %d bytes, at most %d", m.Field, len(m.Pattern), maxPattern))
		}
	}
	for rest := r.Fingerprint; ; {
		_, after, ok := strings.Cut(rest, "{{")
		if !ok {
			return nil
		}
		name, tail, closed := strings.Cut(after, "}}")
		if name = strings.TrimSpace(name); !closed || !slices.Contains(rulePlaceholders, name) {
			return fail(fmt.Errorf("unknown placeholder %q, use one of %s", name, strings.Join(rulePlaceholders, ", ")))
		}
		rest = tail
	}
}

// ApplyRules returns the fingerprint that the first matching rule gives and the
// rule's index, or def and -1. It is a pure function of its arguments. The cost
// is linear in rules times frames.
func ApplyRules(rules []Rule, r *millrace.Report, o Origin, def string) (fingerprint string, rule int) {
	if r == nil || r.Exception == nil {
		return def, -1
	}
	for i := range rules {
		if f, ok := rules[i].matches(r, o); ok {
			return CustomFingerprint([]string{rules[i].expand(r, f, o, def)}, def), i
		}
	}
	return def, -1
}

// CustomFingerprint makes a fingerprint of what a client or a rule says is equal.
// A part "{{ default }}" or "{{default}}" is def. The result is "c:" and 16
// hexadecimal digits of FNV-1a 64 over the parts, each followed by a zero byte;
// def itself if that is the only part or there is none.
func CustomFingerprint(parts []string, def string) string {
	h := hash(fnvOffset)
	only := true
	for _, p := range parts {
		switch strings.ReplaceAll(p, " ", "") {
		case "{{default}}":
			h.part(def)
		default:
			only = false
			h.part(p)
		}
	}
	if only {
		return def
	}
	return h.text('c')
}

// matches returns the frame that the rule's matchers hold for, nil if it has none
// of frames.
func (rule *Rule) matches(r *millrace.Report, o Origin) (*millrace.Frame, bool) {
	frames := false
	for i := range rule.Match {
		m := &rule.Match[i]
		ok := true
		switch m.Field {
		case "service":
			ok = m.holds(o.Service)
		case "env":
			ok = m.holds(o.Env)
		case "release":
			ok = m.holds(o.Release)
		case "type":
			ok = m.any(r.Exception, func(e *millrace.Exception) string { return e.Type })
		case "message":
			ok = m.any(r.Exception, func(e *millrace.Exception) string { return e.Message })
		default:
			frames = true
		}
		if !ok {
			return nil, false
		}
	}
	if !frames {
		return nil, true
	}
	for e, n := r.Exception, 0; e != nil && n < fingerprintCauses; e, n = e.Cause, n+1 {
		for i := range e.Frames {
			if rule.matchesFrame(&e.Frames[i]) {
				return &e.Frames[i], true
			}
		}
	}
	return nil, false
}

func (rule *Rule) matchesFrame(f *millrace.Frame) bool {
	for i := range rule.Match {
		m := &rule.Match[i]
		ok := true
		switch m.Field {
		case "module":
			ok = m.holds(f.Module)
		case "function":
			ok = m.holds(f.Function)
		case "file":
			ok = m.holds(f.File)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (m *Matcher) holds(s string) bool { return glob(m.Pattern, s) != m.Not }

// any reports whether one exception of the chain matches; with Not, whether none
// does.
func (m *Matcher) any(e *millrace.Exception, field func(*millrace.Exception) string) bool {
	for n := 0; e != nil && n < fingerprintCauses; e, n = e.Cause, n+1 {
		if glob(m.Pattern, field(e)) {
			return !m.Not
		}
	}
	return m.Not
}

// expand fills the placeholders.
func (rule *Rule) expand(r *millrace.Report, f *millrace.Frame, o Origin, def string) string {
	if f == nil {
		f = firstAppFrame(r.Exception)
	}
	values := [...]string{
		"type", r.Exception.Type, "message", r.Exception.Message, "module", f.Module, "function", f.Function, "file", f.File,
		"service", o.Service, "default", def,
	}
	var b strings.Builder
	rest := rule.Fingerprint
	for b.Len() < maxRuleText {
		before, after, ok := strings.Cut(rest, "{{")
		b.WriteString(before)
		if !ok {
			break
		}
		name, tail, _ := strings.Cut(after, "}}")
		for i := 0; i < len(values); i += 2 {
			if values[i] == strings.TrimSpace(name) {
				b.WriteString(cutString(values[i+1], maxRuleText))
			}
		}
		rest = tail
	}
	return b.String()
}

func firstAppFrame(e *millrace.Exception) *millrace.Frame {
	for n := 0; e != nil && n < fingerprintCauses; e, n = e.Cause, n+1 {
		for i := range e.Frames {
			if e.Frames[i].InApp {
				return &e.Frames[i]
			}
		}
	}
	return &millrace.Frame{}
}

// glob matches s against a pattern of '*' and '?' in time proportional to the
// product of their lengths at worst.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
