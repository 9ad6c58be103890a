package transform

import (
	"fmt"
	"strings"
)

// CSV takes fields from one record of comma-separated values (RFC 4180): a value
// may stand in quotes, within which it may have separators, line ends and
// doubled quotes.
type CSV struct {
	Columns   []string // in order; "" or "-" passes over one
	Separator string   // one character; ","
	Least     int      // columns a record must have; all if 0
}

type csvReader struct {
	columns   []field // name "" passes over
	separator byte
	least     int
}

func (c *compiler) csv(path string, conf *CSV) textReader {
	r := &csvReader{separator: ',', least: conf.Least}
	if conf.Separator != "" {
		if len(conf.Separator) != 1 || conf.Separator == `"` {
			c.bad(path+".separator", fmt.Sprintf("%q", conf.Separator), "must be one ASCII character and no quote")
			return nil
		}
		r.separator = conf.Separator[0]
	}
	if len(conf.Columns) == 0 {
		c.bad(path+".columns", nil, "must name the columns in order")
	}
	for i, name := range conf.Columns {
		if name == "" || name == "-" {
			r.columns = append(r.columns, field{})
			continue
		}
		r.columns = append(r.columns, c.settable(fmt.Sprintf("%s.columns[%d]", path, i), name))
	}
	if r.least < 0 || r.least > len(r.columns) {
		c.bad(path+".least", conf.Least, "must be from 0 to the number of columns, %d", len(r.columns))
	}
	if r.least == 0 {
		r.least = len(r.columns)
	}
	return r
}

func (r *csvReader) read(s *Scratch, x *extractor, t string) outcome {
	if len(t) > MaxInput {
		return s.failed(tooLong(MaxInput))
	}
	n := 0
	for more := true; more; n++ {
		var v value
		var ok bool
		v, t, more, ok = r.next(s, t)
		if !ok || n == len(r.columns) {
			return unmatched
		}
		if r.columns[n].name == "" {
			continue
		}
		if out := x.stage(s, r.columns[n], 0, v); out != matched {
			return out
		}
	}
	if n < r.least {
		return unmatched
	}
	return matched
}

// next reads the value at the start of t; more tells that a separator follows.
func (r *csvReader) next(s *Scratch, t string) (v value, rest string, more, ok bool) {
	if t == "" || t[0] != '"' {
		i := strings.IndexByte(t, r.separator)
		if i < 0 {
			return textValue(t), "", false, strings.IndexByte(t, '"') < 0
		}
		return textValue(t[:i]), t[i+1:], true, true
	}
	doubled := false
	for i := 1; i < len(t); i++ {
		if t[i] != '"' {
			continue
		}
		if i+1 < len(t) && t[i+1] == '"' {
			doubled = true
			i++
			continue
		}
		v = textValue(t[1:i])
		if doubled {
			v = s.replaceAll(t[1:i], `""`, `"`)
		}
		t = t[i+1:]
		if t == "" {
			return v, "", false, true
		}
		return v, t[1:], true, t[0] == r.separator
	}
	return value{}, "", false, false // the quote is not closed
}
