package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// maxQuerySize is ClickHouse's default of max_query_size: the longest statement
// in bytes, without the data of an INSERT.
const maxQuerySize = 262144

// hello is what clickhouse-go asks first.
const hello = "SELECT displayName(), version(), revision(), timezone()"

// statement is the SQL of a request. For an INSERT with data, text ends before
// its FORMAT clause.
type statement struct {
	text   string
	format string    // of data
	data   io.Reader // nil if the statement takes none
}

func (s *statement) isHello() bool { return strings.TrimSpace(s.text) == hello }

// selects reports whether the library can return the result in pieces.
func (s *statement) selects() bool {
	word := strings.ToUpper(firstWord(s.text))
	return word == "SELECT" || word == "WITH" || strings.HasPrefix(skipSpace(s.text), "(")
}

// readStatement separates statement and data. The statement comes from the URL,
// from the body, or from both in this order.
func readStatement(query string, body io.Reader, values url.Values) (*statement, error) {
	limit := maxQuerySize
	if v := values.Get("max_query_size"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, raise(codeSyntaxError, "Cannot parse max_query_size "+v, "SYNTAX_ERROR")
		}
		limit = n
	}
	if in := splitInsert(query); in != nil {
		return &statement{text: in.text, format: in.format, data: io.MultiReader(strings.NewReader(query[in.data:]), body)}, nil
	}
	// One byte more than is allowed tells whether the limit holds, and whether
	// the statement is an INSERT whose data may be longer.
	buffered := bufio.NewReaderSize(body, limit+1)
	start, err := buffered.Peek(limit + 1)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, tooLargeOrBroken(err)
	}
	text := query
	if query != "" && len(start) > 0 {
		text += "\n"
	}
	prefix := len(text)
	text += string(start)
	if in := splitInsert(text); in != nil {
		if _, err := buffered.Discard(max(in.data-prefix, 0)); err != nil {
			return nil, tooLargeOrBroken(err)
		}
		return &statement{text: in.text, format: in.format, data: buffered}, nil
	}
	if len(text) > limit {
		return nil, raise(codeSyntaxError, fmt.Sprintf(
			"Syntax error: failed at position %d: Max query size exceeded (can be increased with the `max_query_size` setting)", limit), "SYNTAX_ERROR")
	}
	if strings.TrimSpace(text) == "" {
		return nil, raise(codeSyntaxError, "Empty query", "SYNTAX_ERROR")
	}
	return &statement{text: text}, nil
}

func tooLargeOrBroken(err error) error {
	if e := tooLarge(err); e != err { //nolint:errorlint // whether it was replaced
		return e
	}
	return raise(codeCannotReadAllData, "Cannot read the request: "+err.Error(), "CANNOT_READ_ALL_DATA")
}

// insertParts is an INSERT with data: its text, the format, and where the data
// begin.
type insertParts struct {
	text, format string
	data         int
}

// splitInsert returns nil if the statement is no INSERT, or takes no data.
func splitInsert(text string) *insertParts {
	if !strings.EqualFold(firstWord(text), "INSERT") {
		return nil
	}
	for t := (tokens{text: text}); t.next(); {
		if t.depth > 0 {
			continue
		}
		switch strings.ToUpper(t.word) {
		case "SELECT", "WITH", "WATCH":
			return nil
		case "VALUES":
			return &insertParts{text: text[:t.start], format: "Values", data: t.end}
		case "FORMAT":
			end := t.start
			if !t.next() {
				return nil
			}
			return &insertParts{text: text[:end], format: t.word, data: t.end + lineBreak(text[t.end:])}
		}
	}
	return nil
}

// lineBreak is the length of blanks up to and with the end of the line that
// separates a FORMAT clause from the data.
func lineBreak(s string) int {
	n := len(s) - len(strings.TrimLeft(s, " \t\r"))
	if n < len(s) && s[n] == '\n' {
		return n + 1
	}
	return n
}

func firstWord(text string) string {
	t := tokens{text: text}
	t.next()
	return t.word
}

func skipSpace(text string) string {
	t := tokens{text: text}
	t.skipBlank()
	return text[t.end:]
}

// tokens goes through the words of a statement, past texts, quoted names and
// comments. It knows as much of ClickHouse's grammar as finds clauses.
type tokens struct {
	text       string
	word       string
	start, end int
	depth      int // of parentheses
}

// next finds the next word; quoted names and signs are passed over.
func (t *tokens) next() bool {
	for t.skipBlank(); t.end < len(t.text); t.skipBlank() {
		c := t.text[t.end]
		switch {
		case isWord(c):
			t.start = t.end
			for t.end < len(t.text) && isWord(t.text[t.end]) {
				t.end++
			}
			t.word = t.text[t.start:t.end]
			return true
		case c == '\'' || c == '"' || c == '`':
			t.skipQuoted(c)
		default:
			if c == '(' {
				t.depth++
			} else if c == ')' {
				t.depth--
			}
			t.end++
		}
	}
	t.word = ""
	return false
}

func (t *tokens) skipBlank() {
	for t.end < len(t.text) {
		rest := t.text[t.end:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			t.end++
		case strings.HasPrefix(rest, "--"):
			t.skipPast("\n")
		case strings.HasPrefix(rest, "/*"):
			t.skipPast("*/")
		default:
			return
		}
	}
}

func (t *tokens) skipPast(mark string) {
	if i := strings.Index(t.text[t.end:], mark); i >= 0 {
		t.end += i + len(mark)
		return
	}
	t.end = len(t.text)
}

func (t *tokens) skipQuoted(q byte) {
	for t.end++; t.end < len(t.text); t.end++ {
		switch t.text[t.end] {
		case '\\':
			t.end = min(t.end+1, len(t.text)-1)
		case q:
			t.end++
			return
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
