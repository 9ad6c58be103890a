package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// live are the settings that can change while the server runs, with all below
// them: the rest is what the process was built upon when it started.
var live = []string{"disk_high", "lag_high", "ingest", "pipeline", "sources", "rollups"}

// Live reports whether the setting at path can change without a restart.
func Live(path string) bool {
	return slices.ContainsFunc(live, func(l string) bool { return path == l || strings.HasPrefix(path, l+".") })
}

// CheckReload reports ErrInvalid with every setting of next that differs from c
// and cannot change without a restart.
func (c *Config) CheckReload(next *Config) error {
	var v millrace.Violations
	compare(reflect.ValueOf(*c), reflect.ValueOf(*next), "", &v)
	if next.file != nil {
		next.file.place(&v)
	}
	return v.Err()
}

func compare(old, next reflect.Value, path string, v *millrace.Violations) {
	for i := range old.NumField() {
		f := old.Type().Field(i)
		if !tagged(f) {
			continue
		}
		at := join(path, f.Tag.Get("yaml"))
		if Live(at) {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			compare(old.Field(i), next.Field(i), at, v)
			continue
		}
		if a, b := old.Field(i).Interface(), next.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			if f.Tag.Get("secret") != "" {
				a, b = "(secret)", "another"
			}
			v.Append(&millrace.Violation{Path: at, Message: fmt.Sprintf("changed from %v to %v: needs a restart", a, b)})
		}
	}
}
