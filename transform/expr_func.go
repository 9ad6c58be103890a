package transform

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// function is what a name in an expression calls. All arguments are computed
// before; nothing and failures never reach f unless it says it takes nothing.
type function struct {
	min, max int
	doc      string
	nulls    bool // takes nothing as it is; others give nothing for nothing
	f        func(s *Scratch, a, b, c value) value
}

// functions is filled by init: some refer to it through the compiler.
var functions map[string]*function

func init() {
	functions = map[string]*function{
		"lower":      {1, 1, "the text in lower case", false, textFn(func(s *Scratch, t string) value { return s.lower(t) })},
		"upper":      {1, 1, "the text in upper case", false, textFn(func(s *Scratch, t string) value { return s.changed(t, strings.ToUpper(t)) })},
		"trim":       {1, 2, "the text without spaces, or the given characters, at both ends", false, trimFn(strings.Trim)},
		"trimPrefix": {2, 2, "the text without that beginning", false, trimFn(strings.TrimPrefix)},
		"trimSuffix": {2, 2, "the text without that end", false, trimFn(strings.TrimSuffix)},
		"replace":    {3, 3, "the text with every occurrence of the second replaced by the third", false, replaceFn},
		"part":       {3, 3, "the n-th part, from 0, of the text split at the separator; negative n count from the end", false, partFn},
		"len":        {1, 1, "the number of characters", false, textFn(func(_ *Scratch, t string) value { return intValue(int64(utf8.RuneCountInString(t))) })},
		"indexOf":    {2, 2, "the byte at which the second stands in the first, or -1", false, indexFn},
		"concat":     {1, 3, "its arguments as one text; nothing is empty", true, concatFn},
		"string":     {1, 1, "the value as text", false, textFn(func(_ *Scratch, t string) value { return textValue(t) })},
		"int":        {1, 1, "the number without its fraction", false, intFn},
		"float":      {1, 1, "the number", false, floatFn},
		"abs":        {1, 1, "the number without its sign", false, absFn},
		"floor":      {1, 1, "the next lower whole number", false, mathFn(math.Floor)},
		"ceil":       {1, 1, "the next higher whole number", false, mathFn(math.Ceil)},
		"round":      {1, 1, "the nearest whole number", false, mathFn(math.Round)},
		"min":        {2, 3, "the least of its arguments", false, extremeFn(-1)},
		"max":        {2, 3, "the greatest of its arguments", false, extremeFn(1)},
		"seconds":    {1, 1, "the seconds of a duration such as 1m30s; a plain number is seconds", false, convertFn(typeDuration)},
		"bytes":      {1, 1, "the bytes of a size such as 4KiB", false, convertFn(typeBytes)},
		"inNetwork":  {2, 2, "whether an address is in a network such as 10.0.0.0/8", false, networkFn},
		"exists":     {1, 1, "whether the event has the field", true, existsFn},
	}
}

// FunctionNames returns the functions of expressions with what they return.
func FunctionNames() map[string]string {
	out := make(map[string]string, len(functions))
	for name, f := range functions {
		out[name] = f.doc
	}
	return out
}

func compileCall(n ast.Node, name string, args []ast.Node) (evalFn, error) {
	fn, ok := functions[name]
	if !ok {
		names := make([]string, 0, len(functions))
		for name := range functions {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, at(n, "function %s is not known; known are %s", name, strings.Join(names, ", "))
	}
	if len(args) < fn.min || len(args) > fn.max {
		return nil, at(n, "%s takes %s, not %d", name, arguments(fn), len(args))
	}
	compiled := [3]evalFn{}
	for i := range compiled {
		compiled[i] = func(*Scratch) value { return value{} }
		if i < len(args) {
			var err error
			if compiled[i], err = compileValue(args[i]); err != nil {
				return nil, err
			}
		}
	}
	a, b, c, count := compiled[0], compiled[1], compiled[2], len(args)
	return func(s *Scratch) value {
		x, y, z := a(s), b(s), c(s)
		for i, v := range [3]value{x, y, z} {
			if v.k == failure || v.k == null && !fn.nulls && i < count {
				return v
			}
		}
		return fn.f(s, x, y, z)
	}, nil
}

func arguments(fn *function) string {
	switch {
	case fn.min != fn.max:
		return fmt.Sprintf("%d to %d arguments", fn.min, fn.max)
	case fn.min == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", fn.min)
}

type goFunc = func(s *Scratch, a, b, c value) value

func textFn(f func(*Scratch, string) value) goFunc {
	return func(s *Scratch, a, _, _ value) value {
		t, ok := s.render(a)
		if !ok {
			return fail(s.full())
		}
		return f(s, t)
	}
}

// changed charges the event for a text the standard library made.
func (s *Scratch) changed(old, t string) value {
	switch {
	case t == old:
		return textValue(old)
	case len(t) > MaxText:
		return fail(longText)
	case len(t) > s.left:
		return fail(s.full())
	}
	s.left -= len(t)
	return textValue(t)
}

// lower copies a text only if it has capital letters.
func (s *Scratch) lower(t string) value {
	for i := range len(t) {
		c := t[i]
		if c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return s.lowerFrom(t)
		}
	}
	return textValue(t)
}

func (s *Scratch) lowerFrom(t string) value {
	if len(t) > MaxText {
		return fail(longText)
	}
	for i := range len(t) {
		if t[i] >= utf8.RuneSelf {
			return s.changed(t, strings.ToLower(t))
		}
	}
	dst, ok := s.alloc(len(t))
	if !ok {
		return fail(s.full())
	}
	for i := range len(t) {
		c := t[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return textValue(asString(dst))
}

func trimFn(f func(t, chars string) string) goFunc {
	return func(s *Scratch, a, b, _ value) value {
		t, ok := s.render(a)
		chars, ok2 := s.render(b)
		if !ok || !ok2 {
			return fail(s.full())
		}
		if b.k == null {
			return textValue(strings.TrimSpace(t))
		}
		return textValue(f(t, chars))
	}
}

func replaceFn(s *Scratch, a, b, c value) value {
	t, ok := s.render(a)
	from, ok2 := s.render(b)
	to, ok3 := s.render(c)
	if !ok || !ok2 || !ok3 {
		return fail(s.full())
	}
	if from == "" {
		return fail("replace of the empty text")
	}
	return s.replaceAll(t, from, to)
}

// replaceAll is strings.ReplaceAll within the bounds.
func (s *Scratch) replaceAll(t, from, to string) value {
	n := strings.Count(t, from)
	if n == 0 {
		return textValue(t)
	}
	size := len(t) + n*(len(to)-len(from))
	if size > max(MaxText, len(s.e.Message)) {
		return fail(longText)
	}
	dst, ok := s.alloc(size)
	if !ok {
		return fail(s.full())
	}
	for {
		i := strings.Index(t, from)
		if i < 0 {
			return textValue(asString(append(dst, t...)))
		}
		dst = append(append(dst, t[:i]...), to...)
		t = t[i+len(from):]
	}
}

func partFn(s *Scratch, a, b, c value) value {
	t, ok := s.render(a)
	sep, ok2 := s.render(b)
	if !ok || !ok2 {
		return fail(s.full())
	}
	if sep == "" || c.k != integer {
		return fail("part needs a separator and a whole number")
	}
	n := int64(c.n)
	if n < 0 {
		n += int64(strings.Count(t, sep)) + 1
		if n < 0 {
			return value{}
		}
	}
	for ; ; n-- {
		head, rest, more := strings.Cut(t, sep)
		if n == 0 {
			return textValue(head)
		}
		if !more {
			return value{}
		}
		t = rest
	}
}

func indexFn(s *Scratch, a, b, _ value) value {
	t, ok := s.render(a)
	sub, ok2 := s.render(b)
	if !ok || !ok2 {
		return fail(s.full())
	}
	return intValue(int64(strings.Index(t, sub)))
}

func concatFn(s *Scratch, a, b, c value) value {
	x, ok := s.render(a)
	y, ok2 := s.render(b)
	z, ok3 := s.render(c)
	if !ok || !ok2 || !ok3 {
		return fail(s.full())
	}
	v := s.join(x, y)
	if v.k == failure {
		return v
	}
	return s.join(v.s, z)
}

func intFn(_ *Scratch, a, _, _ value) value {
	v, ok := asNumber(a)
	if !ok {
		if a.k == boolean {
			return intValue(int64(a.n))
		}
		return fail("int of what is no number")
	}
	if v.k == integer {
		return v
	}
	f := math.Trunc(math.Float64frombits(v.n))
	if math.Abs(f) >= 1<<63 {
		return fail(notFinite)
	}
	return intValue(int64(f))
}

func floatFn(_ *Scratch, a, _, _ value) value {
	f, ok := a.number()
	if !ok {
		return fail("float of what is no number")
	}
	return floatValue(f)
}

func mathFn(f func(float64) float64) goFunc {
	return func(_ *Scratch, a, _, _ value) value {
		v, ok := asNumber(a)
		if !ok {
			return fail(notNumber)
		}
		if v.k == integer {
			return v
		}
		x := f(math.Float64frombits(v.n))
		if math.Abs(x) < 1<<53 {
			return intValue(int64(x))
		}
		return floatValue(x)
	}
}

func absFn(_ *Scratch, a, _, _ value) value {
	v, ok := asNumber(a)
	if !ok {
		return fail(notNumber)
	}
	if v.k == integer && int64(v.n) >= 0 {
		return v
	}
	if v.k == integer {
		return negate(v)
	}
	return floatValue(math.Abs(math.Float64frombits(v.n)))
}

func extremeFn(sign int) goFunc {
	return func(_ *Scratch, a, b, c value) value {
		for _, v := range [2]value{b, c} {
			if v.k == null {
				continue
			}
			o, ok := v.compare(a)
			if !ok {
				return fail("min and max of what cannot be compared")
			}
			if o == sign {
				a = v
			}
		}
		return a
	}
}

func convertFn(t valueType) goFunc {
	return func(s *Scratch, a, _, _ value) value { return t.convert(s, a) }
}

func networkFn(s *Scratch, a, b, _ value) value {
	if a.k != text || b.k != text {
		return fail("inNetwork needs texts")
	}
	prefix, err := netip.ParsePrefix(b.s)
	if err != nil {
		return fail("inNetwork needs a network such as 10.0.0.0/8")
	}
	ip, err := netip.ParseAddr(a.s)
	if err != nil {
		return boolValue(false)
	}
	return boolValue(prefix.Contains(ip.Unmap()))
}

func existsFn(_ *Scratch, a, _, _ value) value { return boolValue(a.k != null) }

func parseInt(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 20 || !looksInteger(strings.TrimPrefix(s, "+")) {
		return 0, false
	}
	i, err := strconv.ParseInt(s, 10, 64)
	return i, err == nil
}
