package exception

import (
	"bytes"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// The rules of normalise.go and inapp.go as they were written down first, word by
// word: what is faster must give the same, since fingerprints are frozen.

var plainGenerated = map[string][]string{
	langJava:   {"$$Lambda", "$$Enhancer", "$$FastClass", "$$SpringCGLIB", "$HibernateProxy", "$MockitoMock$", "$$inlined$"},
	langPHP:    {"@anonymous"},
	langNative: {".cold", ".isra.", ".constprop.", ".part.", ".llvm.", " [clone"},
	langCocoa:  {".cold", ".llvm.", "_block_invoke"},
	langRust:   {"::h0", "::h1", "::h2", "::h3", "::h4", "::h5", "::h6", "::h7", "::h8", "::h9", "::ha", "::hb", "::hc", "::hd", "::he", "::hf"},
}

func plainJavaGenerated(f *millrace.Frame) bool {
	for _, g := range [...]string{
		"$$Lambda", "$$Enhancer", "$$FastClass", "$$SpringCGLIB", "$HibernateProxy", "$$Proxy", "ByteBuddy", "$MockitoMock$",
		"$$KClass", "_$$_jvst", "_$$_Weld",
	} {
		if strings.Contains(f.Module, g) {
			return true
		}
	}
	last := f.Module[strings.LastIndexByte(f.Module, '.')+1:]
	return strings.HasPrefix(last, "$Proxy") || strings.HasPrefix(last, "Generated") && strings.Contains(last, "Accessor") ||
		strings.HasPrefix(f.Function, "access$") || strings.HasPrefix(f.Module, "_COROUTINE.") ||
		strings.HasPrefix(f.Module, "jdk.internal.reflect.") || strings.HasPrefix(f.Module, "sun.reflect.")
}

func plainAppendName(dst []byte, language, s string) ([]byte, reasons) {
	var why reasons
	if cut := plainCutGenerated(language, s); len(cut) < len(s) {
		s, why = cut, whyGenerated
	}
	dropped := -1 // where the last left-out digits ended
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isDigit(c) && plainNumberEnds(language, s, i, dropped):
			i += digits(s[i:])
			dropped, why = i, why|whyNumbers
			continue
		case c == '0' && i+2 < len(s) && s[i+1] == 'x' && isHex(s[i+2]):
			_, rest, _ := hexPrefix(s[i:])
			i, why = len(s)-len(rest), why|whyHash
			continue
		case c == '[' && language == langGo, c == '<' && templates(language) && i > 0 && (nameByte(s[i-1]) || s[i-1] == '>'):
			if end := closing(s[i:], c); end > 0 {
				i, why = i+end, why|whyArguments
				continue
			}
		case c == '(' && (language == langNative || language == langDotnet) && i > 0 && !strings.HasPrefix(s[i:], "(anonymous"):
			if end := closing(s[i:], c); end > 0 && !strings.HasSuffix(s[:i], "operator") {
				i, why = i+end, why|whyArguments
				continue
			}
		case c == '(' && i+1 < len(s) && isDigit(s[i+1]):
			if end := strings.Index(s[i:], " levels) "); end > 0 {
				i, why = i+end+len(" levels) "), why|whyNumbers
				continue
			}
		case c == '\\' && i+1 < len(s) && s[i+1] == '\\':
			i++
		}
		dst = append(dst, c)
		i++
	}
	return dst, why
}

func plainCutGenerated(language, s string) string {
	for _, g := range plainGenerated[language] {
		if i := strings.Index(s, g); i > 0 && (language != langRust || rustHash(s[i:])) {
			s = s[:i]
		}
	}
	return s
}

func plainNumberEnds(language, s string, i, dropped int) bool {
	if i == 0 {
		return false
	}
	if dropped == i-1 && s[i-1] == '_' || plainEndsNumbered(s[:i]) {
		return true
	}
	for _, w := range numbered2 {
		if strings.HasSuffix(s[:i], w) {
			return true
		}
	}
	if language == langScript || language == langPHP {
		return s[i-1] == ':' || s[i-1] == '$'
	}
	return false
}

func plainEndsNumbered(s string) bool {
	for _, w := range numbered {
		if strings.HasSuffix(s, w) {
			return true
		}
	}
	return false
}

func plainJavaInApp(class string) bool {
	for _, p := range javaLibraries {
		if strings.HasPrefix(class, p) {
			return false
		}
	}
	return !strings.HasPrefix(class, "$Proxy") && !strings.HasPrefix(class, "com.sun.proxy.")
}

var plainLanguages = []string{
	langJava, langPython, langGo, langScript, langDotnet, langPHP, langRuby, langDart, langRust, langNative, langCocoa, "",
}

func comparePlain(t *testing.T, s string) {
	t.Helper()
	for _, language := range plainLanguages {
		got, why := appendName(nil, language, s)
		want, reason := plainAppendName(nil, language, s)
		if !bytes.Equal(got, want) || why != reason {
			t.Errorf("%s %q gives %q %v, want %q %v", language, s, got, why, want, reason)
		}
	}
	if javaInApp(s) != plainJavaInApp(s) {
		t.Errorf("%q: in the application is %v", s, javaInApp(s))
	}
	for _, f := range []millrace.Frame{{Module: s}, {Module: s, Function: s}, {Module: "a.B", Function: s}} {
		if javaGenerated(&f) != plainJavaGenerated(&f) {
			t.Errorf("%+v: generated is %v", f, javaGenerated(&f))
		}
	}
	if endsNumbered(s) != plainEndsNumbered(s) {
		t.Errorf("%q: numbered is %v", s, endsNumbered(s))
	}
}

// plainSeeds are all words that the rules know, and names with them.
func plainSeeds() (seeds []string) {
	add := func(words ...string) {
		for _, w := range words {
			seeds = append(seeds, w, "a.B"+w, w+"1", "x"+w+"12_3", "a.B"+w+"$1.c(2 levels) [int]<T<U>>0x1f\\\\d")
		}
	}
	for _, list := range plainGenerated {
		add(list...)
	}
	add(generated[:]...)
	add(numbered[:]...)
	add(numbered2[:]...)
	add(javaLibraries[:]...)
	add("$$Proxy", "ByteBuddy", "$$KClass", "_$$_jvst", "_$$_Weld", "$Proxy", "GeneratedMethodAccessor", "access$", "_COROUTINE.", "jdk.internal.reflect.",
		"sun.reflect.", "com.sun.proxy.", "core::f::h0123456789abcdef", "operator()(int)", "(anonymous namespace)", "f(a->b)", "\xff$", "javas", "")
	return seeds
}

func TestPlain(t *testing.T) {
	for _, s := range plainSeeds() {
		comparePlain(t, s)
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range plainSeeds() {
		f.Add(s)
	}
	f.Fuzz(comparePlain)
}
