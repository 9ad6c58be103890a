package decode

import (
	"strings"

	"github.com/millrace/millrace"
)

// Levels as stored, whatever the spelling in the log.
const (
	levelTrace = "trace"
	levelDebug = "debug"
	levelInfo  = "info"
	levelWarn  = "warn"
	levelError = "error"
	levelFatal = "fatal"
)

// attrLevelOriginal keeps a level's name where the standard one says less.
const attrLevelOriginal = "level_original"

// maxLevel bounds what is taken for the name of a level.
const maxLevel = 16

// severityNames are the names of syslog's severities.
var severityNames = [8]string{"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"}

func finishLevel(e *millrace.Event) {
	name, lossy, ok := normalLevel(e.Level)
	if !ok {
		e.Level = strings.ToLower(e.Level)
		return
	}
	if lossy {
		e.Set(attrLevelOriginal, millrace.StringValue(strings.ToLower(e.Level)))
	}
	e.Level = name
}

// Level returns the standard name of a level as events have it, whether it says
// less than the name given, and whether the name is known. Case does not matter.
// It does not allocate.
func Level(name string) (standard string, lossy, known bool) { return normalLevel(name) }

// normalLevel returns the standard name of a level, whether it says less than
// the name given, and whether the name is known. Case does not matter. It does
// not allocate.
func normalLevel(s string) (name string, lossy, ok bool) {
	if len(s) > maxLevel {
		return "", false, false
	}
	var buf [maxLevel]byte
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	switch string(buf[:len(s)]) {
	case "trace", "t", "trc", "trce", "verbose", "v", "vrb", "finest", "finer", "all":
		return levelTrace, false, true
	case "debug", "d", "dbg", "dbug", "fine", "config", "debug1", "debug2", "debug3", "debug4", "debug5":
		return levelDebug, false, true
	case "info", "i", "inf", "information", "informational", "log":
		return levelInfo, false, true
	case "notice", "n", "note", "statement", "success":
		return levelInfo, true, true
	case "warn", "w", "wrn", "warning":
		return levelWarn, false, true
	case "error", "e", "err", "eror", "fail", "failure", "severe":
		return levelError, false, true
	case "fatal", "f", "ftl":
		return levelFatal, false, true
	case "critical", "c", "crit", "crt", "emerg", "emergency", "alert", "panic", "dpanic":
		return levelFatal, true, true
	}
	return "", false, false
}
