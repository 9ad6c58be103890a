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

// RuleTally is what one version of a source's rules did to the events that this
// process read by it, over all sources that they fit. It counts work, not what
// is stored: a record that is read again after a failure counts again, and what
// other processes read does not.
type RuleTally struct {
	Source  string    // the name that the rules are kept under, perhaps a pattern
	Version int64     // the newest that records carried so far; 0: none did
	Since   time.Time // the first record that counts was read
	Events  int64     // that were decoded, those dropped included
	// Steps are those of the version in their order, then its masks.
	Steps []StepTally
	// Templates of all url_template steps, most events first. Nothing is in it
	// that the version's masks hide.
	Templates []TemplateTally
	// HiddenURLs is how many events are in no template for that reason.
	HiddenURLs int64
}

// StepTally is what one step or mask did.
type StepTally struct {
	Step      int // its place, from 0
	Name      string
	Seen      int64 // it looked at
	Skipped   int64 // its condition did not hold
	Matched   int64 // it did its work
	Dropped   int64 // of Matched
	Unmatched int64 // no pattern fit, no case held, the field was absent
	Failed    int64 // a type error or a limit; the event stayed as it was
	Nanos     int64 // it takes per event on average, measured on few; 0 is unknown
}

// TemplateTally is what one URL template folded.
type TemplateTally struct {
	Template string
	Events   int64  // exact
	Paths    int64  // distinct ones; exact up to 64, then within 3.3% (standard error)
	Example  string // one of the paths, perhaps cut
}
