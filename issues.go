package millrace

import (
	"context"
	"time"
)

// Issues keeps what people know of exceptions: which fingerprints are one issue,
// in what state it is, whose it is, and what was done with it. Implementation:
// meta, on SQLite and on PostgreSQL. Calls are safe for concurrent use, from
// several nodes too; each is one transaction.
//
// Nothing here counts events: numbers come from cells, by fingerprint. So a
// change of what belongs together changes no number that was stored, and can be
// taken back. Package issue has the rules of an issue's life; this is its memory.
type Issues interface {
	// See stores what workers saw, before they commit the events themselves: the
	// least and the greatest of times, so that saying it again changes nothing. A
	// Sighting whose fingerprint is new becomes a row under the issue that its Key
	// belongs to; a Key that is new becomes an issue, IssueID(Project, Key), with
	// an activity "created". It returns the issues that were created, and those
	// that are not open, as they are now, by project and id, each with the
	// sightings that touched it.
	//
	// A fingerprint that is new, in Sightings without a Key or with one of other
	// Settings than the newest, is left out, and their indexes returned in missing:
	// the caller says it again with Key and Report. Of several Sightings with a Key
	// the first counts; what it says of Key and Report is never changed by others.
	//
	// Of many who see an issue first at the same time one gets Created. It is a
	// hint: if the answer is lost, nobody is told. Who must not miss an issue reads
	// Activities.
	See(ctx context.Context, sightings []Sighting, now time.Time) (seen []Seen, missing []int, err error)

	// Issue returns an issue, one that was merged into another too. ErrNotFound.
	// MergedInto never leads in a circle.
	Issue(ctx context.Context, project, id string) (*Issue, error)
	// ListIssues returns issues that have fingerprints, in q's order, equal ones by
	// id. ErrInvalid: no such order.
	ListIssues(ctx context.Context, q IssueQuery) ([]*Issue, error)
	// IssuesOf returns which issue each fingerprint belongs to; unknown ones are left out.
	IssuesOf(ctx context.Context, project string, fingerprints []string) (map[string]string, error)
	// IssueKeys returns which issue each key belongs to; unknown ones are left out.
	// Nil keys are all of the project.
	IssueKeys(ctx context.Context, project string, keys []string) (map[string]string, error)
	// Fingerprints returns the fingerprints of issues, by issue and first seen,
	// with their keys. Nil issues are all of the project; without reports.
	Fingerprints(ctx context.Context, project string, issues []string) ([]IssueFingerprint, error)
	// FingerprintReports returns the reports of fingerprints, by fingerprint.
	FingerprintReports(ctx context.Context, project string, fingerprints []string) (map[string][]byte, error)
	// Sights returns in which environments the fingerprints of an issue were seen.
	Sights(ctx context.Context, project, issue string) ([]Sight, error)
	// IssueReleases returns the releases of a project that had exceptions, in the
	// order in which they were first seen (by event time), then by name.
	IssueReleases(ctx context.Context, project string) ([]IssueRelease, error)

	// ChangeIssue stores i's State, Resolution, Ignore, Regressed and Owner, raises
	// i.Version, and adds activities of this issue, whose Project, Issue and ID it
	// sets. ErrConflict: it has another Version by now. ErrNotFound.
	ChangeIssue(ctx context.Context, i *Issue, activities ...Activity) error
	// Activities returns what happened to an issue, newest first, at most limit,
	// before the id given (0: from the newest); of all issues of the project if
	// issue is empty.
	Activities(ctx context.Context, project, issue string, before int64, limit int) ([]Activity, error)
	// AddActivity stores a note and sets a.ID. ErrNotFound: no such issue.
	AddActivity(ctx context.Context, a *Activity) error

	// Regroup moves fingerprints and keys between issues, all or none, creates
	// target issues that do not exist, brings what the issues have of their
	// fingerprints up to date, and raises their Versions. It sets r.ID, and it as
	// Regrouping of the activities, with their ID and Project. An issue without
	// fingerprints stays as it was, with MergedInto: where most of them went. With
	// r.Undoes set that change is marked as undone. With r.SettingsAfter it stores
	// them, as SetIssueSettings does with the Version of r.SettingsBefore, and sets
	// their Version.
	//
	// ErrConflict: a fingerprint or key is in another issue, or has another key
	// than KeyBefore, or the settings have another Version by now, or that change
	// was undone, or a fingerprint would not be in the issue that its key belongs
	// to: it is new, and the caller does not know it. ErrNotFound: there is none to
	// undo. ErrInvalid: one is moved twice, or nowhere.
	Regroup(ctx context.Context, r *Regrouping, activities ...Activity) error
	// Regroupings returns changes, newest first, at most limit; of one issue, or
	// of all if it is empty. Id 0 is from the newest.
	Regroupings(ctx context.Context, project, issue string, before int64, limit int) ([]Regrouping, error)
	// Regrouping returns one change. ErrNotFound.
	Regrouping(ctx context.Context, project string, id int64) (*Regrouping, error)

	// IssueSettings returns a project's settings; Version 0 if nobody made any.
	IssueSettings(ctx context.Context, project string) (*IssueSettings, error)
	// SetIssueSettings replaces them and raises s.Version. ErrConflict: s.Version
	// is not the newest.
	SetIssueSettings(ctx context.Context, s *IssueSettings) error
	// IssueProjects returns the projects that have issues, by name.
	IssueProjects(ctx context.Context) ([]string, error)
}

// Sightings is told what workers see. Implementation: package issue.
type Sightings interface {
	// See returns when what it was told is durable. The worker commits the events
	// after that, and tells it again if it does not come to that. ErrUnavailable.
	See(ctx context.Context, sightings []Sighting) error
}

// Sighting is what a worker saw of one fingerprint in one environment since the
// last one. Its strings are its own.
type Sighting struct {
	Project, Fingerprint, Env string
	First, Last               int64  // least and greatest event time, ns
	FirstRelease, LastRelease string // of these events
	// Of the event with time First, to tell people what it is. An empty Culprit or
	// Language leaves what is known.
	Type, Title            string // title is the message's first line
	Level, Service, Source string
	Report                 []byte // as exception.AppendReport wrote it; at most MaxReportBytes; nil if it has none
	// Of Report, set by package issue.
	Culprit, Language string // culprit is the innermost function of the application
	Key               string // what groups it; set by package issue
	Settings          int64  // Version of the IssueSettings that Key was made with
	Owner             string // to begin with, if the issue is new; set by package issue
}

// MaxReportBytes bounds the report of a Sighting.
const MaxReportBytes = 64 << 10

// Seen is an issue that sightings touched.
type Seen struct {
	Issue     *Issue
	Created   bool
	Sightings []int // indexes into what See was given
}

// IssueState is where an issue is in its life.
type IssueState string

// The states. An open issue is new for IssueNewFor after it was first seen, then ongoing.
const (
	IssueOpen      IssueState = "open"
	IssueResolved  IssueState = "resolved"
	IssueRegressed IssueState = "regressed" // was resolved and came again
	IssueIgnored   IssueState = "ignored"
)

// IssueNewFor is how long an issue counts as new.
const IssueNewFor = 24 * time.Hour

// Issue is a set of fingerprints that are one fault, and what people did about it.
type Issue struct {
	ID, Project string
	// Of the fingerprint seen first.
	Type, Title, Culprit, Level, Service, Language string

	State      IssueState
	Resolution Resolution // while resolved or regressed: of the last time
	Ignore     Ignore     // while ignored
	Regressed  int64      // event time of the first event after the resolution, ns; 0: none
	Owner      string     // "" is nobody's

	// Over all fingerprints, ns of event time. See keeps them up to date. Of equal
	// times the least FirstRelease and the greatest LastRelease count.
	FirstSeen, LastSeen       int64
	FirstRelease, LastRelease string
	Fingerprints              int    // how many it has
	MergedInto                string // of an issue that lost all its fingerprints to another
	Created                   int64  // when it was stored, ns
	Version                   int64  // raised by every change of people
}

// Phase is the state as people read it: new, ongoing, resolved, regressed, ignored.
func (i *Issue) Phase(now time.Time) string {
	if i.State != IssueOpen {
		return string(i.State)
	}
	if now.UnixNano()-i.FirstSeen < int64(IssueNewFor) {
		return "new"
	}
	return "ongoing"
}

// Resolution says since when an issue counts as resolved.
type Resolution struct {
	At int64  `json:"at"` // ns
	By string `json:"by"`
	// Release: events of this release and later ones bring it back. Next: those of
	// releases that were not there at At do. Neither: every event after At does.
	Release string `json:"release,omitempty"`
	Next    bool   `json:"next,omitempty"`
}

// Ignore says how long an issue is nobody's business. Empty is for ever.
type Ignore struct {
	At    int64  `json:"at"` // ns
	By    string `json:"by"`
	Until int64  `json:"until,omitempty"` // ns
	// Occurrences and Users end it when so many more came since At.
	Occurrences int64 `json:"occurrences,omitempty"`
	Users       int64 `json:"users,omitempty"`
}

// IssueQuery selects issues.
type IssueQuery struct {
	Project string
	States  []IssueState // empty is all
	IDs     []string     // empty is all
	Owner   *string      // nil is any, "" those of nobody
	Text    string       // part of type, title, culprit or id, in any case
	// NewSince and SeenSince are bounds of FirstSeen and LastSeen, ns; 0 is none.
	NewSince, SeenSince int64
	// Order is last_seen, first_seen (newest first) or id.
	Order         string // empty is last_seen
	Limit, Offset int    // 0 is no limit
}

// IssueFingerprint is one fingerprint and where it belongs.
type IssueFingerprint struct {
	Project, Fingerprint, Key, Issue string
	FirstSeen, LastSeen              int64 // ns; over all environments
	FirstRelease, LastRelease        string
	Type, Title, Culprit             string // of the first
	Level, Service, Language         string
}

// Sight is where and when a fingerprint was seen.
type Sight struct {
	Fingerprint, Env          string
	FirstSeen, LastSeen       int64 // ns
	FirstRelease, LastRelease string
}

// IssueRelease is a release that had exceptions.
type IssueRelease struct {
	Release             string
	FirstSeen, LastSeen int64 // ns of event time
}

// Activity is one entry of an issue's log.
type Activity struct {
	ID             int64
	Project, Issue string
	At             int64  // ns
	Author         string // name of a key, "millrace" for what nobody did
	Kind           string // created, resolved, regressed, ignored, unignored, reopened, assigned, merged, unmerged, regrouped, undone, note
	// Data is a JSON object: what was before and what is after, such that it can be undone.
	Data []byte
	Text string // of a note
	// Regrouping is the change of what belongs together that this tells of; 0: none.
	Regrouping int64
}

// Regrouping is a change of what belongs together.
type Regrouping struct {
	ID      int64
	Project string
	At      int64 // ns
	Author  string
	Kind    string // merge, unmerge, regroup, owners, undo
	Note    string
	Moves   []Move
	// Settings are the project's settings before and after, where they changed too.
	SettingsBefore, SettingsAfter *IssueSettings
	Undoes                        int64 // the change that this one takes back
	UndoneBy                      int64 // the change that took this one back
}

// Move takes a fingerprint, with the key that it has from then on, or a key alone
// (of fingerprints to come) from one issue to another. A key does not follow its
// fingerprint: both may move.
type Move struct {
	Fingerprint string `json:"fingerprint,omitempty"`
	KeyBefore   string `json:"key_before,omitempty"`
	Key         string `json:"key"`
	From        string `json:"from"` // "" for a key that is new
	To          string `json:"to"`   // "" to forget a key
}

// IssueSettings are what a project says about its issues. Both texts are JSON
// that package issue reads.
type IssueSettings struct {
	Project  string `json:"project"`
	Version  int64  `json:"version"`
	Grouping []byte `json:"grouping"` // version of the fingerprint that groups, rules of users
	Owners   []byte `json:"owners"`   // who an issue belongs to
	Author   string `json:"author"`
	At       int64  `json:"at"` // ns
}

// ErrNoIssuesTable is what Store.SQL answers to who asks for a table of issues:
// they lie in Meta, where statements of users do not run. ErrInvalid.
var ErrNoIssuesTable error = &Error{
	Code: ErrInvalid,
	Message: "sql: issues: no such table: issues are not kept where statements run. GET /api/v1/issues and millrace issues list --json list them " +
		"with their fingerprints, by which exceptions and rollup_exceptions are joined",
}
