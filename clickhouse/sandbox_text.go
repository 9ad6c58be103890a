package clickhouse

import (
	"strings"

	"github.com/millrace/millrace"
)

// sqlText is what a look at the words of a statement tells; ClickHouse's parser
// tells the rest (checkStatement).
type sqlText struct {
	statement string          // without a semicolon at its end
	defined   map[string]bool // names of common table expressions: NAME AS (
	first     string          // the first word in capitals, or "("
	after     int             // index behind the first word, and RECURSIVE after WITH
}

// compose puts definitions before the statement.
func (t *sqlText) compose(with []string) string {
	list := strings.Join(with, ",\n")
	switch {
	case len(with) == 0:
		return t.statement
	case t.first == "WITH":
		return t.statement[:t.after] + " " + list + ",\n" + t.statement[t.after:]
	case t.first == "(": // a union of parts in parentheses
		return "WITH " + list + "\nSELECT * FROM (\n" + t.statement + "\n)"
	}
	return "WITH " + list + "\n" + t.statement
}

// scanSQL goes through the words of a statement. It refuses names that would make
// the parser's answer ambiguous, and what ClickHouse's lexer and this one may see
// differently.
func scanSQL(query string) (*sqlText, error) {
	t := &sqlText{defined: map[string]bool{}}
	var words []string // the last three, in capitals save for names
	end := len(query)
	for i := 0; i < len(query); {
		kind, next, err := sqlToken(query, i)
		if err != nil {
			return nil, err
		}
		word := query[i:next]
		if kind == tokenSpace {
			i = next
			continue
		}
		if end < len(query) {
			return nil, millrace.Errorf(millrace.ErrInvalid, "sql: one statement at a time; there is text behind the semicolon")
		}
		if word == ";" {
			end = i
			i = next
			continue
		}
		if kind == tokenQuoted {
			word = word[1 : len(word)-1]
			if !plainIdent(word) {
				return nil, millrace.Errorf(millrace.ErrInvalid, "sql: the name %.60q may have only letters, digits, spaces excluded, and _ . - : @ / $", word)
			}
		}
		switch upper := strings.ToUpper(word); {
		case t.first == "":
			t.first, t.after = upper, next
		case t.first == "WITH" && upper == "RECURSIVE" && len(words) == 1:
			t.after = next
		case word == "(" && len(words) > 1 && strings.EqualFold(words[len(words)-1], "AS"):
			t.defined[words[len(words)-2]] = true
		}
		if words = append(words, word); len(words) > 3 {
			words = words[1:]
		}
		i = next
	}
	t.statement = strings.TrimSpace(query[:end])
	if t.first == "" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: the statement is empty")
	}
	if t.first != "SELECT" && t.first != "WITH" && t.first != "(" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: only SELECT is allowed")
	}
	// Indexes are those of the trimmed text.
	t.after -= strings.Index(query, t.statement)
	return t, nil
}

type tokenKind uint8

const (
	tokenOther  tokenKind = iota // a word, a number, a sign
	tokenSpace                   // white space and comments
	tokenQuoted                  // a name in quotes
	tokenText                    // a text literal
)

// sqlToken returns the kind of the token at i and where it ends.
func sqlToken(s string, i int) (kind tokenKind, next int, err error) {
	c := s[i]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		return tokenSpace, i + 1, nil
	case strings.HasPrefix(s[i:], "--"):
		n := strings.IndexByte(s[i:], '\n')
		if n < 0 {
			return tokenSpace, len(s), nil
		}
		return tokenSpace, i + n + 1, nil
	case strings.HasPrefix(s[i:], "/*"):
		n := strings.Index(s[i+2:], "*/")
		if n < 0 {
			return 0, 0, millrace.Errorf(millrace.ErrInvalid, "sql: a comment that begins with /* has no end")
		}
		return tokenSpace, i + n + 4, nil
	case c == '\'' || c == '"' || c == '`':
		return sqlQuoted(s, i)
	case c == '#' || c == '$' || c >= 0x80 || c < ' ':
		// Shell comments, heredocs and signs of other alphabets.
		return 0, 0, millrace.Errorf(millrace.ErrInvalid, "sql: the character %q is allowed in text literals only", []rune(s[i:])[0])
	case isWord(c):
		for i < len(s) && isWord(s[i]) {
			i++
		}
		return tokenOther, i, nil
	}
	return tokenOther, i + 1, nil
}

func sqlQuoted(s string, i int) (kind tokenKind, next int, err error) {
	quote := s[i]
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\':
			if quote != '\'' {
				return 0, 0, millrace.Errorf(millrace.ErrInvalid, "sql: a backslash is not allowed in a name")
			}
			j++
		case s[j] == quote && j+1 < len(s) && s[j+1] == quote:
			if quote != '\'' {
				return 0, 0, millrace.Errorf(millrace.ErrInvalid, "sql: a quote is not allowed in a name")
			}
			j++
		case s[j] == quote:
			if quote == '\'' {
				return tokenText, j + 1, nil
			}
			return tokenQuoted, j + 1, nil
		}
	}
	return 0, 0, millrace.Errorf(millrace.ErrInvalid, "sql: a text or name that begins with %c has no end", quote)
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// plainIdent reports whether a name in quotes cannot be taken for anything else in
// the parser's answer.
func plainIdent(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) && !strings.ContainsRune(".-:@/$", rune(s[i])) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
