package main

import (
	"io"
	"net/url"
	"strings"
	"testing"
)

func TestReadStatement(t *testing.T) {
	for _, c := range []struct {
		query, body        string
		text, format, data string // data "-" for none
	}{
		{"", "SELECT 1", "SELECT 1", "", "-"},
		{"SELECT 1", "", "SELECT 1", "", "-"},
		{"SELECT", "1", "SELECT\n1", "", "-"},
		{"INSERT INTO t (a, b) FORMAT Native", "\x00\n;", "INSERT INTO t (a, b) ", "Native", "\x00\n;"},
		{"INSERT INTO t FORMAT CSV\n", "1\n", "INSERT INTO t ", "CSV", "1\n"},
		{"insert into t format CSV", "1\n", "insert into t ", "CSV", "1\n"},
		{"", "INSERT INTO t FORMAT CSV\n1\n2\n", "INSERT INTO t ", "CSV", "1\n2\n"},
		{"", "INSERT INTO t FORMAT JSONEachRow {\"a\":1}", "INSERT INTO t ", "JSONEachRow", "{\"a\":1}"},
		{"", "INSERT INTO t VALUES (1),('VALUES')", "INSERT INTO t ", "Values", " (1),('VALUES')"},
		{"INSERT INTO t VALUES", "(1)", "INSERT INTO t ", "Values", "(1)"},
		{"INSERT INTO t", "VALUES (1)", "INSERT INTO t\n", "Values", " (1)"},
		{"", "INSERT INTO t (format, `values`, \"select\") FORMAT CSV\n1", "INSERT INTO t (format, `values`, \"select\") ", "CSV", "1"},
		{"", "INSERT INTO t SELECT 1 FORMAT CSV", "INSERT INTO t SELECT 1 FORMAT CSV", "", "-"},
		{"", "-- a comment: INSERT\nSELECT 1", "-- a comment: INSERT\nSELECT 1", "", "-"},
		{"", "/* SELECT */ INSERT INTO t /* VALUES */ SETTINGS a = 'FORMAT' FORMAT CSV\n1", "/* SELECT */ INSERT INTO t /* VALUES */ SETTINGS a = 'FORMAT' ", "CSV", "1"},
		{"", "INSERT INTO `a\\`b FORMAT c` FORMAT CSV\n1", "INSERT INTO `a\\`b FORMAT c` ", "CSV", "1"},
		{"", "INSERT INTO t WITH 1 AS x SELECT x", "INSERT INTO t WITH 1 AS x SELECT x", "", "-"},
	} {
		s, err := readStatement(c.query, strings.NewReader(c.body), url.Values{})
		if err != nil {
			t.Errorf("%q %q: %v", c.query, c.body, err)
			continue
		}
		data := "-"
		if s.data != nil {
			b, err := io.ReadAll(s.data)
			if err != nil {
				t.Fatal(err)
			}
			data = string(b)
		}
		if s.text != c.text || s.format != c.format || data != c.data {
			t.Errorf("%q %q: %q, %q, %q; expected %q, %q, %q", c.query, c.body, s.text, s.format, data, c.text, c.format, c.data)
		}
	}
}

func TestReadStatementLimits(t *testing.T) {
	long := "SELECT " + strings.Repeat("1+", maxQuerySize/2) + "1"
	rows := strings.Repeat("(1),", maxQuerySize)
	for _, c := range []struct {
		query, body, size string
		code              int
	}{
		{"", "", "", codeSyntaxError},
		{" ", " \n", "", codeSyntaxError},
		{"", long, "", codeSyntaxError},
		{long, "", "", codeSyntaxError},
		{"", long, "1000000", 0},
		{"", "SELECT 12345", "5", codeSyntaxError},
		{"", "SELECT 1", "x", codeSyntaxError},
		{"", "INSERT INTO t VALUES " + rows, "", 0},
		{"INSERT INTO t VALUES", rows, "", 0},
	} {
		values := url.Values{}
		if c.size != "" {
			values.Set("max_query_size", c.size)
		}
		_, err := readStatement(c.query, strings.NewReader(c.body), values)
		code := 0
		if e, ok := err.(*exception); ok { //nolint:errorlint // returned as it is
			code = e.code
		}
		if code != c.code {
			t.Errorf("%.20q %.20q: %v, expected code %d", c.query, c.body, err, c.code)
		}
	}
}

func TestSelects(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT 1": true, " /* x */ with 1 as a select a": true, "(SELECT 1)": true,
		"SHOW TABLES": false, "INSERT INTO t SELECT 1": false, "": false, "EXPLAIN SELECT 1": false,
	} {
		if got := (&statement{text: text}).selects(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNewException(t *testing.T) {
	for message, want := range map[string]int{
		"Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)": 60,
		"Error: Code: 62. DB::Exception: Syntax error":            62,
		"out of luck": codeUnknownException,
	} {
		e := newException(message)
		if e.code != want || !strings.HasPrefix(e.text, "Code: ") {
			t.Errorf("%q: %d %q", message, e.code, e.text)
		}
	}
}

// Statement and data are the request, whatever it holds.
func FuzzSplitInsert(f *testing.F) {
	for _, s := range []string{
		"INSERT INTO t FORMAT CSV\n1", "INSERT INTO t VALUES (1)", "INSERT INTO `t\\", "INSERT '", "INSERT (((FORMAT", "INSERT FORMAT", "SELECT 1", "INSERT/*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := splitInsert(text)
		if in == nil {
			return
		}
		if !strings.HasPrefix(text, in.text) || in.data < len(in.text) || in.data > len(text) || in.format == "" {
			t.Fatalf("%q: text %q, format %q, data at %d", text, in.text, in.format, in.data)
		}
		if !strings.EqualFold(firstWord(in.text), "INSERT") {
			t.Fatalf("%q: text %q", text, in.text)
		}
	})
}
