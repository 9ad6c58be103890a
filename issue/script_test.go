package issue

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

var rewrite = flag.Bool("rewrite", false, "rewrite what the scripts in testdata answer")

// TestScripts runs testdata/*.txt: each line is a command, the indented lines
// below it are its answer. Times are HH:MM of 20 May, or DAY/HH:MM.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	ok(t, err)
	if len(files) == 0 {
		t.Fatal("no scripts")
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			ok(t, err)
			got := runScript(t, string(text))
			if *rewrite {
				ok(t, os.WriteFile(name, []byte(got), 0o644))
			} else if got != string(text) {
				t.Errorf("%s answers\n%s\nwant\n%s", name, got, text)
			}
		})
	}
}

func runScript(t *testing.T, text string) string {
	s := &script{t: t, w: newWorld(t, nil, nil), names: map[string]string{}}
	s.keeper = &keeper{s: s.w.service, done: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		s.out.WriteString(line + "\n")
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			s.run(words[0], words[1:])
		}
	}
	return s.out.String()
}

type script struct {
	t      *testing.T
	w      *world
	keeper *keeper
	out    strings.Builder
	names  map[string]string // ids of issues to the fingerprints that started them
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, "    "+format+"\n", args...) }

// args splits name=value from the other words.
func args(words []string) (plain []string, named map[string]string) {
	named = map[string]string{}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok {
			named[name] = value
		} else {
			plain = append(plain, w)
		}
	}
	return plain, named
}

func (s *script) time(text string) time.Time {
	if text == "" {
		return s.w.clock.now
	}
	day, clock, ok := strings.Cut(text, "/")
	if !ok {
		day, clock = "20", text
	}
	at, err := time.Parse("2006-01-02T15:04", "2026-05-"+day+"T"+clock)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

func show(ns int64) string { return time.Unix(0, ns).UTC().Format("02/15:04:05") }

func (s *script) number(text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	ok(s.t, err)
	return n
}

func (s *script) id(name string) string {
	id := millrace.IssueID(testProject, name)
	s.names[id] = name
	return id
}

func (s *script) run(command string, words []string) {
	ctx, svc := s.t.Context(), s.w.service
	plain, named := args(words)
	var ids []string
	for _, p := range plain {
		ids = append(ids, s.id(p))
	}
	var out []Outcome
	var change *millrace.Regrouping
	var err error
	switch command {
	case "now":
		s.w.clock.now = s.time(plain[0])
		return
	case "see":
		s.see(plain[0], named)
	case "look":
		err = s.keeper.look(ctx)
	case "show":
	case "resolve":
		out, err = svc.Resolve(ctx, testProject, ids, "ann", Resolution{Release: named["release"], Next: named["next"] != ""})
	case "reopen":
		out, err = svc.Reopen(ctx, testProject, ids, "ann")
	case "ignore":
		g := millrace.Ignore{Occurrences: s.number(named["count"]), Users: s.number(named["users"])}
		if named["until"] != "" {
			g.Until = s.time(named["until"]).UnixNano()
		}
		out, err = svc.Ignore(ctx, testProject, ids, "ann", g)
	case "assign":
		out, err = svc.Assign(ctx, testProject, ids[:1], "ann", named["to"])
	case "note":
		out, err = svc.Note(ctx, testProject, ids[:1], "ann", named["text"])
	case "undo":
		err = s.undo(ids[0])
	case "merge":
		change, err = svc.Merge(ctx, testProject, ids[0], ids[1:], "ann", "")
	case "unmerge":
		change, err = svc.Unmerge(ctx, testProject, ids[0], plain[1:], "ann", "")
	case "undochange":
		change, err = svc.Undo(ctx, testProject, s.number(plain[0]), "ann")
	case "log":
		s.log(ids[0])
		return
	default:
		s.t.Fatalf("unknown command %q", command)
	}
	s.answer(command, ids, out, change, err)
}

// answer prints what a command did, and the issues that it named.
func (s *script) answer(command string, ids []string, out []Outcome, change *millrace.Regrouping, err error) {
	if err != nil {
		s.say("error %s: %s", millrace.ErrorCode(err), millrace.ErrorMessage(err))
	}
	if change != nil {
		s.say("change %d", change.ID)
	}
	for _, o := range out {
		if o.Err != nil {
			s.say("%s: error %s", s.names[o.Issue], millrace.ErrorCode(o.Err))
		} else if !o.Changed {
			s.say("%s: nothing changed", s.names[o.Issue])
		}
	}
	if command == "undochange" || command == "look" {
		return
	}
	for _, id := range ids {
		if i, err := s.w.issues.Issue(s.t.Context(), testProject, id); err == nil {
			s.issue(i)
		}
	}
}

func (s *script) issue(i *millrace.Issue) {
	line := s.names[i.ID] + " is " + i.Phase(s.w.clock.now)
	switch r := &i.Resolution; {
	case r.Release != "":
		line += " in " + r.Release
	case r.Next:
		line += " in the next release after " + show(r.At)
	case r.At != 0:
		line += " at " + show(r.At)
	}
	if i.Regressed != 0 {
		line += ", came back " + show(i.Regressed)
	}
	if i.Owner != "" {
		line += ", of " + i.Owner
	}
	if i.MergedInto != "" {
		line += ", merged into " + s.names[i.MergedInto]
	} else if i.Fingerprints != 1 {
		line += fmt.Sprintf(", %d fingerprints", i.Fingerprints)
	}
	s.say("%s", line)
}

func (s *script) see(name string, named map[string]string) {
	env, ok := named["env"]
	if !ok {
		env = "production"
	}
	s.w.throw(testProject, thrown{
		fingerprint: name, typ: "shop.Broken", env: env, release: named["release"], user: named["user"],
		at: s.time(named["at"]), weight: max(1, s.number(named["count"])),
	})
}

// undo takes back the newest activity that is not an undoing.
func (s *script) undo(id string) error {
	ctx := s.t.Context()
	list, err := s.w.service.Activities(ctx, testProject, id, 0, 1)
	ok(s.t, err)
	_, err = s.w.service.UndoActivity(ctx, testProject, id, list[0].ID, "bob")
	return err
}

func (s *script) log(id string) {
	list, err := s.w.service.Activities(s.t.Context(), testProject, id, 0, 0)
	ok(s.t, err)
	for _, a := range list {
		d, err := ReadActivity(&a)
		ok(s.t, err)
		line := fmt.Sprintf("%s %s %s", show(a.At), a.Author, a.Kind)
		if d.Before != nil && d.Before.State != d.After.State {
			line += fmt.Sprintf(" %s → %s", d.Before.State, d.After.State)
		}
		if d.Before != nil && d.Before.Owner != d.After.Owner {
			line += fmt.Sprintf(" %q → %q", d.Before.Owner, d.After.Owner)
		}
		for _, extra := range []string{d.Env, d.Release, d.Reason} {
			if extra != "" {
				line += " " + extra
			}
		}
		if d.Count > 0 {
			line += fmt.Sprint(" ", d.Count)
		}
		s.say("%s%s", line, strings.TrimRight(" "+a.Text, " "))
	}
}
