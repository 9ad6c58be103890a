// Package transform applies what users configure per source: a rule set in YAML
// (or the same as JSON) whose steps extract fields from a line, compute, convert,
// rename and drop them, and whose masks hide what must not be stored. Parse reads
// a rule set, Compile checks it and yields a Program, Apply runs the program on
// one event in place.
//
// A rule set never loses an event: a step that does not fit a line leaves the
// event as it was and is counted. A program is a pure function of its text, its
// Options and the event, so that a replay gives the same events. Nothing in it
// loops without bound: regular expressions are RE2 and read a bounded number of
// bytes, expressions are trees without loops, and what they allocate is bounded
// per event.
//
// docs/rules.md is the reference of the language.
package transform
