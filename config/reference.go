package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// setDefaults fills a struct from the default tags of its fields, deeply. A tag
// that does not parse is a bug found by any test that calls Default.
func setDefaults(ptr any) {
	v := reflect.ValueOf(ptr).Elem()
	for i := range v.NumField() {
		f, tag := v.Field(i), v.Type().Field(i).Tag
		if !tagged(v.Type().Field(i)) {
			continue
		}
		if f.Kind() == reflect.Struct {
			setDefaults(f.Addr().Interface())
			continue
		}
		if err := setField(f, tag.Get("default")); err != nil {
			panic(fmt.Sprintf("BUG: default of %s.%s: %v", v.Type(), v.Type().Field(i).Name, err))
		}
	}
}

func tagged(f reflect.StructField) bool {
	name := f.Tag.Get("yaml")
	return name != "" && name != "-"
}

func setField(f reflect.Value, text string) error {
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok && text != "" {
		return u.UnmarshalText([]byte(text))
	}
	if text == "" {
		return nil
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		f.SetBool(b)
		return err
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Int16:
		n, err := strconv.ParseInt(text, 10, 64)
		f.SetInt(n)
		return err
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		f.SetFloat(x)
		return err
	case reflect.Slice:
		if f.Type().Elem().Kind() != reflect.String {
			return fmt.Errorf("unsupported list of %s", f.Type().Elem())
		}
		f.Set(reflect.ValueOf(strings.Split(text, ",")))
	default:
		return fmt.Errorf("unsupported kind %s", f.Kind())
	}
	return nil
}

// WriteReference writes every setting with its documentation, default and
// example as a YAML file that is itself a valid configuration.
func WriteReference(w io.Writer) error {
	r := &referenceWriter{w: w}
	r.printf("# Every setting of millrace with its default. A file needs only what it changes;\n# unknown keys are refused. Sizes: 512KiB, 64MiB, 2GiB. Durations: 500ms, 10s, 72h, 90d.\n")
	r.structure(reflect.TypeFor[Config](), "")
	return r.err
}

// examples introduce the definitions by name, of which there are none by default.
var examples = map[string]string{"sources": "nginx", "rollups": "checkout"}

type referenceWriter struct {
	w   io.Writer
	err error
}

func (r *referenceWriter) printf(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format, args...)
	}
}

func (r *referenceWriter) structure(t reflect.Type, indent string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !tagged(f) {
			continue
		}
		r.printf("\n%s# %s\n", indent, f.Tag.Get("doc"))
		name := f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			r.printf("%s%s:\n", indent, name)
			r.structure(f.Type, indent+"  ")
			continue
		}
		if f.Type.Kind() == reflect.Map {
			r.printf("%s: {}\n# %s:\n#   %s:\n", name, name, examples[name])
			r.structureComments(f.Type.Elem().Elem(), "#     ")
			continue
		}
		if listOfStructs(f.Type) {
			r.printf("%s%s: []\n%s# - each with\n", indent, name, indent)
			r.structureComments(f.Type.Elem(), indent+"#   ")
			continue
		}
		if ex := f.Tag.Get("example"); ex != "" {
			r.printf("%s# Example: %s\n", indent, quoteList(f, ex))
		}
		r.printf("%s%s: %s\n", indent, name, quoteList(f, f.Tag.Get("default")))
	}
}

// listOfStructs reports whether t is a plain list of settings; a type with a
// name of its own reads itself.
func listOfStructs(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Name() == "" && t.Elem().Kind() == reflect.Struct
}

// structureComments writes the fields of a definition as comments with examples.
func (r *referenceWriter) structureComments(t reflect.Type, indent string) {
	for i := range t.NumField() {
		f := t.Field(i)
		r.printf("%s# %s\n", indent, f.Tag.Get("doc"))
		ex := quoteList(f, f.Tag.Get("example"))
		if f.Name == "Metrics" {
			ex = "{" + ex + "}"
		}
		r.printf("%s%s: %s\n", indent, f.Tag.Get("yaml"), ex)
	}
}

func quoteList(f reflect.StructField, text string) string {
	switch f.Type.Kind() {
	case reflect.Slice:
		if f.Name == "Metrics" {
			return text
		}
		return "[" + strings.ReplaceAll(text, ",", ", ") + "]"
	case reflect.String:
		if text == "" || strings.ContainsAny(text, `:{}"#`) {
			return strconv.Quote(text)
		}
	}
	return text
}
