package millrace

import (
	"strings"
	"time"
)

// RuleVersion is one version of the rules of a source: how its lines become
// fields, and which are dropped or changed. Records of the queue carry the
// number of the version that was current when they were appended, and are
// read by it for as long as they exist.
type RuleVersion struct {
	Version int64 // above 0, unique over all sources
	Project string
	Source  string // a name, or one that ends in * for all that begin so
	// Text is what package transform parses. Empty: the source has no rules of
	// its own from this version on, and a pattern that fits it counts.
	Text string
	// Learned is what was learned from the source's events instead of written:
	// URL templates, in the form of package transform.
	Learned string
	Author  string // AuthorConfig, AuthorLearned, or the name of a key
	Created time.Time
	Note    string // why, in the author's words
}

// SourceRules is the newest version of a source and who decides about it.
type SourceRules struct {
	*RuleVersion
	Owned bool // by the configuration file, and so read-only elsewhere
}

// RuleChange is a new version as somebody asks for it.
type RuleChange struct {
	Project, Source string
	Text            string // empty removes the rules
	Author, Note    string
	// After is the version that the author has seen as the newest, 0 for none;
	// -1 for whatever is the newest.
	After int64
}

// RuleTrial asks what rules would make of some lines.
type RuleTrial struct {
	Project, Source string
	Format          string  // as decode names it; empty is auto
	Text            *string // of the rules; nil is those that are current
	Payload         []byte  // the lines
	// Frames holds the length of each event in Payload, as a Record does; nil
	// cuts it as ingest would.
	Frames []uint32
}

// Authors that are no people.
const (
	AuthorConfig  = "config"  // the configuration file
	AuthorLearned = "learned" // from the source's own events
)

// MaxRulesText bounds Text and Learned, in bytes each: learned templates may be
// several times as long as rules.
const MaxRulesText = 256 << 10

// Fits reports whether the version is meant for a source, by its name or as a
// pattern.
func (v *RuleVersion) Fits(source string) bool {
	prefix, pattern := strings.CutSuffix(v.Source, "*")
	if pattern {
		return strings.HasPrefix(source, prefix)
	}
	return v.Source == source
}
