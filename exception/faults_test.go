package exception_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Generated faults: what 200 bugs in programs of many languages print, each in
// variants that differ in what must not matter.

// call is a frame of the application: for instance class, method, file. closure
// says that the method's name carries a number that the compiler gave it.
type call struct {
	module, function, file string
	closure                bool
}

// fault is one bug.
type fault struct {
	language string
	typ      string
	message  string // %d and %s are filled with another id each time
	calls    []call // innermost first
	cause    *fault
}

// variant writes the fault as its language's runtime would. Everything that the
// random source decides must not change the group.
func (f *fault) variant(r *rand.Rand) string {
	v := variant{r: r, release: r.IntN(1000) + 100}
	return map[string]func(*fault) string{
		"java": v.java, "python": v.python, "go": v.golang, "javascript": v.script, "dotnet": v.dotnet, "php": v.php,
		"ruby": v.ruby, "dart": v.dart, "rust": v.rust, "native": v.native, "cocoa": v.cocoa,
	}[f.language](f)
}

type variant struct {
	r       *rand.Rand
	release int
}

func (v *variant) line() int    { return v.r.IntN(900) + 1 }
func (v *variant) number() int  { return v.r.IntN(9000) + 1 }
func (v *variant) hex() string  { return fmt.Sprintf("%012x", 0x100000000000+v.r.Int64N(1<<40)) }
func (v *variant) chance() bool { return v.r.IntN(2) == 0 }

// message fills the ids in.
func (v *variant) message(s string) string {
	s = strings.ReplaceAll(s, "%d", fmt.Sprint(v.number()))
	return strings.ReplaceAll(s, "%s", v.hex())
}

func (v *variant) java(f *fault) string {
	var b strings.Builder
	switch v.r.IntN(3) {
	case 0:
		fmt.Fprintf(&b, "2024-05-01 10:00:%02d.123 ERROR [http-nio-%d] c.e.Main - request %d failed\n", v.r.IntN(60), v.r.IntN(200), v.number())
	case 1:
		fmt.Fprintf(&b, "Exception in thread \"pool-%d-thread-%d\" ", v.r.IntN(9), v.r.IntN(99))
	}
	depth := v.r.IntN(3)
	for head := ""; f != nil; f, head = f.cause, "Caused by: " {
		fmt.Fprintf(&b, "%s%s: %s\n", head, f.typ, v.message(f.message))
		if v.chance() {
			b.WriteString("\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)\n")
		}
		for i, c := range f.calls {
			name := c.function
			if c.closure {
				name = fmt.Sprintf("lambda$%s$%d", c.function, v.r.IntN(30))
			}
			fmt.Fprintf(&b, "\tat %s.%s(%s:%d)\n", c.module, name, c.file, v.line())
			if i == 0 {
				for range depth { // the recursion is as deep as the input
					fmt.Fprintf(&b, "\tat %s.%s(%s:%d)\n", c.module, name, c.file, v.line())
				}
			}
			v.javaBetween(&b, c)
		}
		if f.cause != nil && v.chance() {
			fmt.Fprintf(&b, "\tSuppressed: java.io.IOException: close %d\n\t\tat com.shop.io.Res.close(Res.java:9)\n", v.number())
		}
		b.WriteString("\tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:897)\n")
		fmt.Fprintf(&b, "\tat java.base/java.lang.Thread.run(Thread.java:%d)\n", v.line())
		if head != "" {
			fmt.Fprintf(&b, "\t... %d more\n", v.r.IntN(40)+1)
		}
	}
	return b.String()
}

// javaBetween writes what frameworks put between two calls, or not.
func (v *variant) javaBetween(b *strings.Builder, c call) {
	switch v.r.IntN(8) {
	case 0:
		fmt.Fprintf(b, "\tat %s$$FastClassBySpringCGLIB$$%s.invoke(<generated>)\n", c.module, v.hex()[:8])
	case 1:
		fmt.Fprintf(b, "\tat com.sun.proxy.$Proxy%d.%s(Unknown Source)\n", v.r.IntN(99), c.function)
	case 2:
		fmt.Fprintf(b, "\tat jdk.internal.reflect.GeneratedMethodAccessor%d.invoke(Unknown Source)\n\tat java.base/java.lang.reflect.Method.invoke(Method.java:566)\n", v.r.IntN(99))
	case 3:
		fmt.Fprintf(b, "\tat %s$$Lambda$%d/0x%s.run(Unknown Source)\n", c.module, v.r.IntN(999), v.hex())
	case 4:
		fmt.Fprintf(b, "\tat %s.access$%d00(%s:%d)\n", c.module, v.r.IntN(9), c.file, v.line())
	}
}

func (v *variant) python(f *fault) string {
	var b strings.Builder
	if f.cause != nil {
		b.WriteString(v.python(f.cause))
		b.WriteString("\nThe above exception was the direct cause of the following exception:\n\n")
	}
	b.WriteString("Traceback (most recent call last):\n")
	fmt.Fprintf(&b, "  File \"/usr/lib/python3.%d/site-packages/django/core/handlers/base.py\", line %d, in _get_response\n    response = wrapped(request)\n", v.r.IntN(5)+8, v.line())
	for i := len(f.calls) - 1; i >= 0; i-- {
		c := f.calls[i]
		name := c.function
		if c.closure {
			name = "<lambda>"
			if v.chance() {
				fmt.Fprintf(&b, "  File \"/srv/releases/2024%04d/%s\", line %d, in <listcomp>\n    x\n", v.release, c.file, v.line())
			}
		}
		fmt.Fprintf(&b, "  File \"/srv/releases/2024%04d/%s\", line %d, in %s\n    pass\n", v.release, c.file, v.line(), name)
	}
	fmt.Fprintf(&b, "%s: %s\n", f.typ, v.message(f.message))
	return b.String()
}

func (v *variant) golang(f *fault) string {
	var b strings.Builder
	if f.typ == "runtime error" {
		fmt.Fprintf(&b, "panic: runtime error: %s\n\n", v.message(f.message))
	} else {
		fmt.Fprintf(&b, "panic: %s\n\n", v.message(f.message))
	}
	fmt.Fprintf(&b, "goroutine %d [running]:\n", v.number())
	for _, c := range f.calls {
		name := c.function
		if c.closure {
			name += fmt.Sprintf(".func%d.%d", v.r.IntN(5)+1, v.r.IntN(5)+1)
		}
		fmt.Fprintf(&b, "%s.%s(0x%s, 0x%x)\n\t/build/%d/%s:%d +0x%x\n", c.module, name, v.hex(), v.number(), v.release, c.file, v.line(), v.number())
		if v.chance() {
			fmt.Fprintf(&b, "net/http.HandlerFunc.ServeHTTP(0x%s)\n\t/usr/local/go/src/net/http/server.go:%d +0x29\n", v.hex(), v.line())
		}
	}
	fmt.Fprintf(&b, "created by net/http.(*Server).Serve in goroutine %d\n\t/usr/local/go/src/net/http/server.go:%d +0x285\n", v.number(), v.line())
	if v.chance() {
		fmt.Fprintf(&b, "\ngoroutine %d [select]:\nmain.loop()\n\t/build/x.go:%d +0x1\n", v.number(), v.line())
	}
	return b.String()
}

func (v *variant) script(f *fault) string {
	var b strings.Builder
	gecko := v.chance()
	fmt.Fprintf(&b, "%s: %s\n", f.typ, v.message(f.message))
	for _, c := range f.calls {
		place := fmt.Sprintf("https://cdn%d.example.com/static/%s.%s.js:%d:%d", v.r.IntN(4), c.file, v.hex()[:8]+"1a", v.line(), v.line())
		switch {
		case gecko && c.closure:
			fmt.Fprintf(&b, "%s/<@%s\n", c.function, place)
		case gecko:
			fmt.Fprintf(&b, "%s@%s\n", c.function, place)
		case c.closure:
			fmt.Fprintf(&b, "    at %s\n", place)
		default:
			fmt.Fprintf(&b, "    at %s.%s (%s)\n", c.module, c.function, place)
		}
		if v.chance() {
			if gecko {
				b.WriteString("forEach@[native code]\n")
			} else {
				b.WriteString("    at Array.forEach (<anonymous>)\n")
			}
		}
	}
	return b.String()
}

func (v *variant) dotnet(f *fault) string {
	var heads []string
	var stacks []string
	for g := f; g != nil; g = g.cause {
		heads = append(heads, g.typ+": "+v.message(g.message))
		var b strings.Builder
		for _, c := range g.calls {
			if c.closure {
				fmt.Fprintf(&b, "   at %s.<>c__DisplayClass%d_%d.<%s>b__%d(String s) in C:\\agent\\%d\\%s:line %d\n", c.module, v.r.IntN(30), v.r.IntN(3), c.function, v.r.IntN(4), v.release, c.file, v.line())
			} else {
				fmt.Fprintf(&b, "   at %s.%s(String id, Int32 n) in C:\\agent\\%d\\%s:line %d\n", c.module, c.function, v.release, c.file, v.line())
			}
			if v.chance() {
				b.WriteString("   at System.Linq.Enumerable.ToList[TSource](IEnumerable`1 source)\n")
			}
			if v.r.IntN(6) == 0 {
				fmt.Fprintf(&b, "   at Castle.Proxies.%sProxy_%d.Proceed()\n", c.module, v.r.IntN(9))
			}
		}
		stacks = append([]string{b.String()}, stacks...)
	}
	return "Unhandled exception. " + strings.Join(heads, "\n ---> ") + "\n" + strings.Join(stacks, "   --- End of inner exception stack trace ---\n")
}

func (v *variant) php(f *fault) string {
	root := fmt.Sprintf("/var/www/releases/%d", 20240000+v.release)
	var b strings.Builder
	fmt.Fprintf(&b, "PHP Fatal error:  Uncaught %s: %s in %s/%s:%d\nStack trace:\n", f.typ, v.message(f.message), root, f.calls[0].file, v.line())
	for i, c := range f.calls {
		name := c.module + "->" + c.function
		if c.closure {
			name = fmt.Sprintf("%s::{closure:%s::%s():%d}", c.module, c.module, c.function, v.line())
		}
		fmt.Fprintf(&b, "#%d %s/%s(%d): %s('%s', Array)\n", i, root, c.file, v.line(), name, v.hex())
	}
	fmt.Fprintf(&b, "#%d %s/vendor/laravel/framework/src/Illuminate/Pipeline.php(%d): Illuminate\\Pipeline->handle()\n#%d {main}\n  thrown in %s/%s on line %d", len(f.calls), root, v.line(), len(f.calls)+1, root, f.calls[0].file, v.line())
	return b.String()
}

func (v *variant) ruby(f *fault) string {
	root := fmt.Sprintf("/srv/app/releases/%d", 20240000+v.release)
	var b strings.Builder
	for i, c := range f.calls {
		name := c.function
		if c.closure {
			name = fmt.Sprintf("block (%d levels) in %s", v.r.IntN(3)+2, c.function)
		}
		if i == 0 {
			fmt.Fprintf(&b, "%s/%s:%d:in `%s': %s (%s)\n", root, c.file, v.line(), name, v.message(f.message), f.typ)
		} else {
			fmt.Fprintf(&b, "\tfrom %s/%s:%d:in `%s'\n", root, c.file, v.line(), name)
		}
	}
	fmt.Fprintf(&b, "\tfrom /usr/lib/ruby/gems/3.%d.0/gems/rack-3.0/lib/rack/server.rb:%d:in `call'\n", v.r.IntN(4), v.line())
	return b.String()
}

func (v *variant) dart(f *fault) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Unhandled exception:\n%s: %s\n", f.typ, v.message(f.message))
	for i, c := range f.calls {
		name := c.module + "." + c.function
		if c.closure {
			name += ".<anonymous closure>"
		}
		fmt.Fprintf(&b, "#%-6d %s (package:shop/%s:%d:%d)\n", i, name, c.file, v.line(), v.line())
	}
	fmt.Fprintf(&b, "#%-6d _RawReceivePort._handleMessage (dart:isolate-patch/isolate_patch.dart:%d:12)\n", len(f.calls), v.line())
	return b.String()
}

func (v *variant) rust(f *fault) string {
	var b strings.Builder
	fmt.Fprintf(&b, "thread 'worker-%d' panicked at src/%s:%d:%d:\n%s\nstack backtrace:\n", v.r.IntN(99), f.calls[0].file, v.line(), v.line(), v.message(f.message))
	n := 0
	add := func(name, file string) {
		fmt.Fprintf(&b, "%4d: %s\n             at %s:%d:%d\n", n, name, file, v.line(), v.line())
		n++
	}
	add("rust_begin_unwind", "/rustc/"+v.hex()+"/library/std/src/panicking.rs")
	add("core::panicking::panic_fmt", "/rustc/"+v.hex()+"/library/core/src/panicking.rs")
	for _, c := range f.calls {
		name := c.module + "::" + c.function
		if c.closure {
			name += "::{{closure}}"
		}
		add(fmt.Sprintf("%s::h%s%s", name, v.hex(), v.hex()[:4]), "./src/"+c.file)
	}
	add("std::rt::lang_start", "/rustc/"+v.hex()+"/library/std/src/rt.rs")
	b.WriteString("note: Some details are omitted, run with `RUST_BACKTRACE=full`\n")
	return b.String()
}

func (v *variant) native(f *fault) string {
	var b strings.Builder
	sanitizer := strings.Contains(f.typ, "-")
	if sanitizer {
		fmt.Fprintf(&b, "==%d==ERROR: AddressSanitizer: %s on address 0x%s at pc 0x%s\n", v.number(), f.typ, v.hex(), v.hex())
	} else {
		fmt.Fprintf(&b, "Program received signal %s, %s\n", f.typ, v.message(f.message))
	}
	for i, c := range f.calls {
		name := c.module + "::" + c.function
		switch {
		case c.closure && sanitizer:
			name += fmt.Sprintf("::'lambda%d'(int)::operator()(int) const", v.r.IntN(3))
		case c.closure:
			name += fmt.Sprintf("::{lambda(int)#%d}::operator()(int) const", v.r.IntN(3)+1)
		case sanitizer:
			name += "<unsigned long>(std::vector<int> const&)"
		}
		if sanitizer {
			fmt.Fprintf(&b, "    #%d 0x%s in %s /build/%d/%s:%d:%d\n", i, v.hex(), name, v.release, c.file, v.line(), v.line())
		} else {
			fmt.Fprintf(&b, "#%d  0x%s in %s (this=0x%s, n=%d) at /build/%d/%s:%d\n", i, v.hex(), name, v.hex(), v.number(), v.release, c.file, v.line())
		}
	}
	fmt.Fprintf(&b, "#%d  0x%s in __libc_start_main (main=0x%s) at ../csu/libc-start.c:%d\n", len(f.calls), v.hex(), v.hex(), v.line())
	return b.String()
}

func (v *variant) cocoa(f *fault) string {
	var b strings.Builder
	base := uint64(0x100000000 + v.r.IntN(1<<20)<<12)
	crashed := v.r.IntN(3)
	fmt.Fprintf(&b, "Incident Identifier: %s\nProcess: Shop [%d]\n\nException Type:  %s\nException Codes: %s at 0x%s\nCrashed Thread:  %d\n\n",
		v.hex(), v.number(), f.typ, v.message(f.message), v.hex(), crashed)
	for t := range 3 {
		if t != crashed {
			fmt.Fprintf(&b, "Thread %d:\n0   libsystem_kernel.dylib   0x%016x mach_msg_trap + 8\n\n", t, 0x1a0000000+v.number())
			continue
		}
		fmt.Fprintf(&b, "Thread %d Crashed:\n0   libobjc.A.dylib   0x%016x objc_msgSend + 16\n", t, 0x19785bf80+v.number())
		for i, c := range f.calls {
			name := fmt.Sprintf("-[%s %s]", c.module, c.function)
			if c.closure {
				name = fmt.Sprintf("__%d-[%s %s]_block_invoke_%d", v.r.IntN(60)+10, c.module, c.function, v.r.IntN(9))
			}
			fmt.Fprintf(&b, "%d   Shop   0x%016x %s + %d (%s:%d)\n", i+1, base+uint64(v.number()), name, v.number(), c.file, v.line())
		}
		fmt.Fprintf(&b, "%d   UIKitCore   0x%016x UIApplicationMain + 204\n\n", len(f.calls)+1, 0x1a0000000+v.number())
	}
	fmt.Fprintf(&b, "Binary Images:\n0x%x - 0x%x Shop arm64 <%s%s> /var/containers/Bundle/Application/%s/Shop.app/Shop\n", base, base+1<<20, v.hex(), v.hex(), v.hex())
	return b.String()
}

// faults makes n bugs over all languages: pairs of them share all but one thing
// (the type, a function, the class, the cause, the order of calls), so that
// precision is tested where it is hard.
func faults(n int, r *rand.Rand) []fault {
	languages := []string{"java", "python", "go", "javascript", "dotnet", "php", "ruby", "dart", "rust", "native", "cocoa"}
	var out []fault
	for i := 0; len(out) < n; i++ {
		f := newFault(languages[i%len(languages)], i, r)
		out = append(out, f)
		if len(out) < n && i%2 == 0 {
			out = append(out, nearMiss(f, i/2, r))
		}
	}
	return out
}

var (
	nouns = strings.Fields("Cart Order Invoice Payment Session Search Catalog Stock Refund Coupon Basket Shipment Ledger Profile Review")
	verbs = strings.Fields("load save apply parse submit merge render close fetch validate reserve charge export sync retry")
)

func newFault(language string, i int, r *rand.Rand) fault {
	f := fault{language: language, typ: faultType(language, i), message: faultMessage(language, i)}
	for d := range 2 + r.IntN(5) {
		noun, verb := nouns[r.IntN(len(nouns))], verbs[r.IntN(len(verbs))]
		f.calls = append(f.calls, faultCall(language, noun, verb, i, d == 1 && r.IntN(2) == 0))
	}
	if (language == "java" || language == "python" || language == "dotnet") && i%3 == 0 {
		c := newFault(language, i+1, r)
		c.cause = nil
		f.cause = &c
	}
	return f
}

func faultType(language string, i int) string {
	types := map[string][]string{
		"java":       {"java.lang.IllegalStateException", "com.shop.OrderException", "java.lang.NullPointerException", "java.sql.SQLException"},
		"python":     {"ValueError", "KeyError", "shop.errors.StockError", "TypeError"},
		"go":         {"runtime error", "panic"},
		"javascript": {"TypeError", "RangeError", "Error"},
		"dotnet":     {"System.InvalidOperationException", "System.NullReferenceException", "Shop.OrderException"},
		"php":        {"TypeError", "App\\OrderException", "RuntimeException"},
		"ruby":       {"NoMethodError", "ArgumentError", "Shop::StockError"},
		"dart":       {"FormatException", "RangeError", "StateError"},
		"rust":       {"panic"},
		"native":     {"SIGSEGV", "heap-use-after-free", "SIGABRT", "stack-buffer-overflow"},
		"cocoa":      {"EXC_BAD_ACCESS (SIGSEGV)", "EXC_CRASH (SIGABRT)", "EXC_BREAKPOINT (SIGTRAP)"},
	}[language]
	return types[i/11%len(types)]
}

func faultMessage(language string, i int) string {
	messages := []string{"order %d not found", "user %d has no session %s", "cannot read item %d of %d", "timeout after %dms", "key '%s' is missing"}
	if language == "native" {
		return "Segmentation fault."
	}
	return messages[i%len(messages)]
}

func faultCall(language, noun, verb string, i int, closure bool) call {
	lower := strings.ToLower(noun)
	switch language {
	case "java":
		return call{"com.shop." + lower + "." + noun + "Service", verb, noun + "Service.java", closure}
	case "python":
		return call{"", verb + "_" + lower, lower + "/views.py", closure}
	case "go":
		return call{"github.com/acme/shop/" + lower, "(*" + noun + ")." + verb, lower + "/" + lower + ".go", closure}
	case "javascript":
		return call{noun, verb + noun, []string{"main", "vendor", "cart"}[i%3], closure}
	case "dotnet":
		return call{"Shop." + noun + "Service", verb, noun + ".cs", closure}
	case "php":
		return call{"App\\" + noun, verb, "src/" + noun + ".php", closure}
	case "ruby":
		return call{"", verb + "_" + lower, "app/models/" + lower + ".rb", closure}
	case "dart":
		return call{noun, verb, lower + ".dart", closure}
	case "rust":
		return call{"shop::" + lower, verb, lower + ".rs", closure}
	case "native":
		return call{"shop::" + noun, verb, "src/" + lower + ".cpp", closure}
	}
	return call{noun + "Controller", verb + noun + ":", noun + "Controller.m", closure}
}

// nearMiss is another bug that differs from f in one thing.
func nearMiss(f fault, i int, r *rand.Rand) fault {
	g := f
	g.calls = append([]call(nil), f.calls...)
	last := len(g.calls) - 1
	switch i % 4 {
	case 0: // another function calls
		g.calls[last] = faultCall(f.language, "Report", "export", i, false)
	case 1: // another function fails
		g.calls[0] = faultCall(f.language, "Archive", verbs[r.IntN(len(verbs))], i, false)
	case 2: // one call less
		if last > 0 && g.calls[last] != g.calls[last-1] && g.calls[last] != g.calls[0] {
			g.calls = g.calls[:last]
		} else {
			g.calls = append(g.calls, faultCall(f.language, "Archive", "sync", i, false))
		}
	case 3: // another type, or another place where the language has one type only
		if t := faultType(f.language, i*11+11*7); t != f.typ {
			g.typ = t
		} else {
			g.calls = append(g.calls, faultCall(f.language, "Audit", "sync", i, false))
		}
	}
	return g
}
