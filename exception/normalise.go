package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// How names are compared in version 2 of the fingerprint. Part of it: frozen.

// reasons is a set of why something was taken out or left out.
type reasons uint32

const (
	whyNumbers reasons = 1 << iota
	whyArguments
	whyGenerated
	whyReceiver
	whyHash
	whyDirectory
	whyQuoted
	whyValues
	whyLibrary
	whyProxy
	whyRuntime
	whyNameless
	whyRecursion
	whyShared
	whyLimit
	whyRepeated
	whyAnonymous
)

var reasonWords = [...]string{
	"numbers that generators count with", "type arguments or parameters", "generated part of the name", "receiver",
	"hash or address", "directory", "quoted text", "numbers and ids", "not in the application", "proxy, lambda or accessor",
	"the runtime's own", "no name, no address within an image", "recursion: counted already", "shared with the exception around it",
	"beyond the frames that count", "repeats the exception around it", "anonymous function",
}

func (r reasons) words() []string {
	var out []string
	for i, w := range reasonWords {
		if r&(1<<i) != 0 {
			out = append(out, w)
		}
	}
	return out
}

// skipFrame says why a frame does not count, 0 if it does. system is set when
// all frames count because none is the application's.
func skipFrame(language string, f *millrace.Frame, system bool) reasons {
	if !f.InApp && !system {
		return whyLibrary
	}
	switch language {
	case langJava:
		if javaGenerated(f) {
			return whyProxy
		}
	case langScript:
		return skipScript(f)
	case langPython:
		switch f.Function { // inlined from Python 3.12 on
		case "<listcomp>", "<dictcomp>", "<setcomp>":
			return whyProxy
		}
	case langDotnet:
		if strings.HasPrefix(f.Function, "lambda_method") || strings.HasPrefix(f.Module, "DynamicClass") ||
			strings.HasPrefix(f.Module, "Castle.Proxies.") {
			return whyProxy
		}
	case langGo:
		if strings.HasPrefix(f.Function, "gowrap") || strings.HasSuffix(f.Function, ".gowrap1") || f.Function == "panic" {
			return whyProxy
		}
	case langNative, langCocoa, langRust:
		switch {
		case nativeEnd(f.Function):
			return whyRuntime
		case strings.HasPrefix(f.Function, "__swift_"), strings.HasPrefix(f.Function, "block_destroy_helper"),
			strings.HasPrefix(f.Function, "block_copy_helper"), strings.HasPrefix(f.Function, "__copy_helper_block_"),
			strings.HasPrefix(f.Function, "__destroy_helper_block_"):
			return whyProxy
		}
	case langPHP:
		if f.Function == "{main}" {
			return whyAnonymous
		}
	}
	return 0
}

// javaGenerated: proxies, reflection, lambdas' classes and accessors, which come
// and go with versions of the JVM and frameworks.
func javaGenerated(f *millrace.Frame) bool {
	if strings.IndexByte(f.Module, '$') >= 0 { // as nearly all of these have
		for _, g := range [...]string{
			"$$Lambda", "$$Enhancer", "$$FastClass", "$$SpringCGLIB", "$HibernateProxy", "$$Proxy", "$MockitoMock$", "$$KClass", "_$$_jvst", "_$$_Weld",
		} {
			if strings.Contains(f.Module, g) {
				return true
			}
		}
	}
	last := f.Module[strings.LastIndexByte(f.Module, '.')+1:]
	return strings.Contains(f.Module, "ByteBuddy") ||
		strings.HasPrefix(last, "$Proxy") || strings.HasPrefix(last, "Generated") && strings.Contains(last, "Accessor") ||
		strings.HasPrefix(f.Function, "access$") || strings.HasPrefix(f.Module, "_COROUTINE.") ||
		strings.HasPrefix(f.Module, "jdk.internal.reflect.") || strings.HasPrefix(f.Module, "sun.reflect.")
}

// skipScript leaves out what browsers show differently: native helpers and eval.
func skipScript(f *millrace.Frame) reasons {
	switch {
	case f.File == "native", f.File == "native code", f.File == "<anonymous>", strings.HasPrefix(f.File, "[native"):
		return whyRuntime
	case f.Function == "eval", f.Function == "eval code", f.File == "eval code":
		return whyAnonymous
	}
	return 0
}

// endNames are what a crash passes through when it ends a process.
var endNames = set("__abort abort_message default_terminate_handler demangling_terminate_handler std::__terminate std::terminate " +
	"__terminate terminate _objc_terminate objc_exception_throw objc_terminate __cxa_throw __cxa_rethrow __exceptionPreprocess " +
	"raise abort gsignal tgkill pthread_kill __pthread_kill __pthread_kill_implementation __pthread_kill_internal __GI_raise " +
	"__GI_abort _CxxThrowException RaiseException __assert_fail __assert_fail_base __assert_rtn __rust_begin_short_backtrace " +
	"rust_begin_unwind core::panicking::panic_fmt core::panicking::panic std::panicking::begin_panic _sigtramp __restore_rt " +
	"__start_thread __libc_init __libc_start_main __libc_start_call_main _start start start_thread thread_start _pthread_start " +
	"_pthread_body clone __clone _dispatch_client_callout __pthread_start BaseThreadInitThunk RtlUserThreadStart art_quick_invoke_stub")

func nativeEnd(function string) bool {
	return endNames[function] || strings.HasPrefix(function, "crashpad::") || strings.HasPrefix(function, "std::sys_common::backtrace")
}

// appendFrameName appends place, a zero byte and the function.
func appendFrameName(dst []byte, language string, f *millrace.Frame) ([]byte, reasons) {
	var why, w reasons
	switch language {
	case langNative, langCocoa, langRust:
		if f.Function == "" {
			if f.Build == "" || f.Offset == 0 {
				return append(dst, 0), 0
			}
			dst = append(dst, f.Build...)
			dst = append(dst, 0)
			return appendHex(dst, f.Offset), 0
		}
		// The image does not count: the same code is linked into several.
		if f.Module != "" {
			why |= whyDirectory
		}
		dst = append(dst, 0)
		dst, w = appendName(dst, language, f.Function)
		return dst, why | w
	case langScript:
		dst, w = appendFile(dst, f.File, 1)
		why |= w
		dst = append(dst, 0)
		dst, w = appendScriptName(dst, f.Function)
		return dst, why | w
	}
	switch {
	case f.Module != "" && !(language == langRuby && strings.ContainsRune(f.File, '/')):
		dst, w = appendName(dst, language, f.Module)
	case f.File != "":
		dst, w = appendFile(dst, f.File, 2)
	}
	why |= w
	dst = append(dst, 0)
	dst, w = appendName(dst, language, f.Function)
	return dst, why | w
}

func appendHex(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[n>>shift&15])
	}
	return dst
}

// appendScriptName appends the function alone: browsers name receivers
// ("Object.aha", "Foo.prototype.run"), closures ("test/<") and what has no name
// each in their own way.
func appendScriptName(dst []byte, s string) ([]byte, reasons) {
	whole := s
	var why reasons
	for _, p := range [...]string{"async ", "new ", "get ", "set "} {
		s = strings.TrimPrefix(s, p)
	}
	s = strings.TrimRight(s, "/<")
	if len(s) < len(whole) && strings.HasSuffix(whole, "<") {
		return dst, whyAnonymous
	}
	switch s {
	case "Anonymous function", "anonymous", "<anonymous>", "(anonymous)", "Global code", "global code", "module code", "?", "<global>":
		return dst, whyAnonymous
	}
	if i := strings.LastIndexAny(s, "./"); i >= 0 && i+1 < len(s) && s[len(s)-1] != ']' {
		s, why = s[i+1:], whyReceiver
	}
	if s == "<anonymous>" {
		return dst, whyAnonymous
	}
	dst, w := appendName(dst, langScript, s)
	return dst, why | w
}

// appendFile appends the last elements of a path without hashes, versions and
// the numbers of releases.
func appendFile(dst []byte, s string, elements int) ([]byte, reasons) {
	var why reasons
	s, _, _ = strings.Cut(s, "?")
	from := len(s)
	for ; elements > 0 && from > 0; elements-- {
		from = strings.LastIndexAny(s[:from], `/\`)
	}
	if from >= 0 && from < len(s) {
		s, why = s[from+1:], whyDirectory
	}
	last := strings.LastIndexAny(s, `/\`) + 1
	for i := 0; i < len(s); {
		n, decimal := 0, false
		for i+n < len(s) && isHex(s[i+n]) {
			decimal = decimal || isDigit(s[i+n])
			n++
		}
		switch {
		case n >= 6 && decimal, i < last && n > 0 && digits(s[i:]) == n: // in a file's own name short numbers are names
			i, why = i+n, why|whyHash
			continue
		case s[i] == '\\':
			dst = append(dst, '/')
			i++
			continue
		}
		n = max(n, 1)
		dst = append(dst, s[i:i+n]...)
		i += n
	}
	return dst, why
}

// appendType appends the normalised form of a type. Signals and exit codes are
// types ("0xc000000d / 0x00000000") and stay.
func appendType(dst []byte, language, s string) ([]byte, reasons) {
	if strings.HasPrefix(s, "0x") {
		return append(dst, s...), 0
	}
	return appendName(dst, language, s)
}

// appendName appends the normalised form of a module or function.
func appendName(dst []byte, language, s string) ([]byte, reasons) {
	var why reasons
	if cut := cutGenerated(language, s); len(cut) < len(s) {
		s, why = cut, whyGenerated
	}
	dropped := -1 // where the last left-out digits ended
	for i := 0; i < len(s); {
		n := i
		for n < len(s) && !nameMarks[s[n]] {
			n++
		}
		if n > i {
			dst = append(dst, s[i:n]...)
			if i = n; i == len(s) {
				break
			}
		}
		c := s[i]
		switch {
		case isDigit(c) && numberEnds(language, s, i, dropped):
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

// nameMarks are the bytes of a name that appendName looks at; what is between them is
// copied.
var nameMarks = bytesOf("0123456789[<(\\")

func bytesOf(s string) (set [256]bool) {
	for i := range len(s) {
		set[s[i]] = true
	}
	return set
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == ':'
}

func templates(language string) bool {
	return language == langNative || language == langCocoa || language == langRust
}

// closing returns the length of the bracket expression at the start of s, or 0.
func closing(s string, open byte) int {
	end := byte(')')
	switch open {
	case '[':
		end = ']'
	case '<':
		end = '>'
	}
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case open:
			depth++
		case end:
			if i > 0 && end == '>' && s[i-1] == '-' {
				continue // "->"
			}
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// generatedIn begin the parts of names that are cut off in a language; each has one of
// the bytes in marks.
type generatedIn struct {
	marks string
	parts []string
}

// They are a switch because each name asks.
func generatedOf(language string) *generatedIn {
	switch language {
	case langJava:
		return &generatedJava
	case langPHP:
		return &generatedPHP
	case langNative:
		return &generatedNative
	case langCocoa:
		return &generatedCocoa
	case langRust:
		return &generatedRust
	}
	return nil
}

var (
	generatedJava   = generatedIn{"$", []string{"$$Lambda", "$$Enhancer", "$$FastClass", "$$SpringCGLIB", "$HibernateProxy", "$MockitoMock$", "$$inlined$"}}
	generatedPHP    = generatedIn{"@", []string{"@anonymous"}}
	generatedNative = generatedIn{". ", []string{".cold", ".isra.", ".constprop.", ".part.", ".llvm.", " [clone"}}
	generatedCocoa  = generatedIn{"._", []string{".cold", ".llvm.", "_block_invoke"}}
	generatedRust   = generatedIn{":", []string{"::h0", "::h1", "::h2", "::h3", "::h4", "::h5", "::h6", "::h7", "::h8", "::h9", "::ha", "::hb", "::hc", "::hd", "::he", "::hf"}}
)

func cutGenerated(language, s string) string {
	g := generatedOf(language)
	if g == nil || !strings.ContainsAny(s, g.marks) {
		return s
	}
	for _, part := range g.parts {
		if i := strings.Index(s, part); i > 0 && (language != langRust || rustHash(s[i:])) {
			s = s[:i]
		}
	}
	return s
}

// rustHash: "::h" and 16 hexadecimal digits at the end.
func rustHash(s string) bool {
	if len(s) != len("::h")+16 {
		return false
	}
	_, rest, ok := hexNumber(s[3:])
	return ok && rest == ""
}

// numbered2 are further words behind which digits are left out, beside numbered.
var numbered2 = [...]string{
	"lambda_", "block #", "closure #", "lambda$", "g__", "b__", "d__", "c__", "$_", "erb__", "anonymous#", "step_impl_",
}

// numberEnds reports whether the digits at s[i:] only count things that
// generators number.
func numberEnds(language, s string, i, dropped int) bool {
	if i == 0 {
		return false
	}
	if dropped == i-1 && s[i-1] == '_' || endsNumbered(s[:i]) {
		return true
	}
	if s[i-1] == '_' { // in which all of numbered2 end that numbered does not know
		for _, w := range numbered2 {
			if strings.HasSuffix(s[:i], w) {
				return true
			}
		}
	}
	if language == langScript || language == langPHP {
		return s[i-1] == ':' || s[i-1] == '$'
	}
	return false
}

// appendMessage appends the first line of a message, at most 200 bytes: quoted
// text is '?', a word with a digit in it is '#', an address or path is '/', white
// space is one blank.
func appendMessage(dst []byte, s string) ([]byte, reasons) {
	var why reasons
	s = strings.TrimSpace(s)
	s, _, _ = strings.Cut(s, "\n")
	s = cutString(s, 200)
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case strings.HasPrefix(s[i:], "://"):
			for i < len(s) && s[i] != ' ' && s[i] != ')' && s[i] != '"' && s[i] != ',' {
				i++
			}
			dst, why = append(dst, '/'), why|whyValues
		case c == '\'' || c == '"' || c == '`':
			n := quotedEnd(s, i)
			if n == i+1 {
				dst = append(dst, c)
			} else {
				dst, why = append(dst, '?'), why|whyQuoted
			}
			i = n
		case c == ' ' || c == '\t' || c == '\r':
			for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r') {
				i++
			}
			dst = append(dst, ' ')
		case wordByte(c):
			end, digit := i, false
			for end < len(s) && (wordByte(s[end]) || (s[end] == '-' || s[end] == '.' || s[end] == ':') && end+1 < len(s) && (digit || s[end] == '-') && wordByte(s[end+1])) {
				digit = digit || isDigit(s[end])
				end++
			}
			if digit {
				dst, why = append(dst, '#'), why|whyValues
			} else {
				dst = append(dst, s[i:end]...)
			}
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, why
}

// quotedEnd returns where the quotation that starts at i ends, or i+1 if it is
// an apostrophe or has no end.
func quotedEnd(s string, i int) int {
	c := s[i]
	if c == '\'' && i > 0 && wordByte(s[i-1]) {
		return i + 1
	}
	end := strings.IndexByte(s[i+1:], c)
	if end < 0 && c == '`' {
		end = strings.IndexByte(s[i+1:], '\'')
	}
	if end < 0 {
		return i + 1
	}
	return i + 1 + end + 1
}
