package transform

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

//go:embed presets/*.yaml
var presetFiles embed.FS

// Presets returns the names of the rule sets that come with millrace, sorted.
func Presets() []string {
	entries, err := fs.ReadDir(presetFiles, "presets")
	if err != nil {
		panic("BUG: embedded presets: " + err.Error())
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Preset returns the text of a preset, or ErrNotFound. Whoever stores rules
// stores this text and not the name: a later version may know better patterns,
// but a replay must give the same events.
func Preset(name string) ([]byte, error) {
	if text, err := presetFiles.ReadFile("presets/" + name + ".yaml"); err == nil {
		return text, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "preset %q is not known; known are %s",
		millrace.Example([]byte(name)), strings.Join(Presets(), ", "))
}
