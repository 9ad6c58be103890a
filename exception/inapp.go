package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// Which frames are the application's own. The lists name what runtimes and
// package managers install; everything else is the application.
//
// They are part of version 1 of the fingerprint: another entry would give known
// exceptions new fingerprints, so additions wait for the next version.

var javaLibraries = [...]string{
	"java.", "javax.", "jakarta.", "sun.", "jdk.", "com.sun.", "kotlin.", "kotlinx.", "scala.", "groovy.",
	"clojure.", "akka.", "android.", "androidx.", "dalvik.", "com.android.", "libcore.",
	"org.springframework.", "org.apache.", "org.hibernate.", "org.eclipse.jetty.", "org.jboss.", "org.wildfly.",
	"io.netty.", "io.undertow.", "io.micronaut.", "io.quarkus.", "io.vertx.", "reactor.", "rx.", "io.reactivex.",
	"com.google.common.", "com.google.gson.", "com.fasterxml.", "com.zaxxer.hikari.", "ch.qos.logback.",
	"org.slf4j.", "org.codehaus.groovy.", "org.junit.", "okhttp3.", "okio.", "retrofit2.", "com.mysql.", "org.postgresql.",
}

// javaByFirst are javaLibraries by their first byte: every frame asks.
var javaByFirst = func() (lists [256][]string) {
	for _, p := range javaLibraries {
		lists[p[0]] = append(lists[p[0]], p)
	}
	return lists
}()

func javaInApp(class string) bool {
	if class == "" {
		return true
	}
	for _, p := range javaByFirst[class[0]] {
		if strings.HasPrefix(class, p) {
			return false
		}
	}
	return !strings.HasPrefix(class, "$Proxy") // com.sun. has com.sun.proxy.
}

func scriptInApp(file string) bool {
	switch {
	case file == "", file == "native", file == "<anonymous>", strings.HasPrefix(file, "node:"), strings.HasPrefix(file, "[native"):
		return false
	case strings.Contains(file, "node_modules/"), strings.Contains(file, "node_modules\\"):
		return false
	case strings.HasPrefix(file, "internal/"):
		return false
	case !strings.ContainsAny(file, "/\\"): // Node before 16: "events.js", "crypto.js"
		return !nodeCore[file]
	}
	return !strings.Contains(file, "-extension://")
}

var nodeCore = set("_http_agent.js _http_client.js _http_common.js _http_outgoing.js _http_server.js _stream_duplex.js " +
	"_stream_passthrough.js _stream_readable.js _stream_transform.js _stream_writable.js _tls_common.js _tls_wrap.js " +
	"assert.js async_hooks.js buffer.js child_process.js cluster.js crypto.js dgram.js dns.js domain.js events.js fs.js " +
	"http.js http2.js https.js inspector.js module.js net.js next_tick.js bootstrap_node.js path.js perf_hooks.js process.js " +
	"punycode.js querystring.js readline.js repl.js stream.js string_decoder.js timers.js tls.js trace_events.js tty.js " +
	"url.js util.js v8.js vm.js worker_threads.js zlib.js")

func pythonInApp(file string) bool {
	file = strings.ReplaceAll(file, "\\", "/")
	for _, p := range [...]string{"site-packages/", "dist-packages/", "/lib/python", "/lib64/python", "/python27_lib/", "<frozen "} {
		if strings.Contains(file, p) {
			return false
		}
	}
	return !strings.HasPrefix(file, "<") || file == "<stdin>" || file == "<string>"
}

// goInApp: the standard library by the first element of the import path, since
// its files may be anywhere; modules by the version in their path.
func goInApp(pkg, file string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	switch {
	case first == "main" || pkg == "":
		return pkg != ""
	case goStd[first]:
		return false
	}
	return !strings.Contains(file, "/pkg/mod/") && !strings.Contains(file, "/vendor/") && !strings.Contains(file, "@v")
}

var goStd = set("archive bufio builtin bytes cmp compress container context crypto database debug embed encoding errors " +
	"expvar flag fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime " +
	"slices sort strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak panic")

func dotnetInApp(class string) bool {
	for _, p := range [...]string{"System.", "Microsoft.", "MS.", "Mono.", "Internal.", "Interop.", "Windows."} {
		if strings.HasPrefix(class, p) {
			return false
		}
	}
	return class != "System" && class != "Interop"
}

func phpInApp(file string) bool {
	return file != "" && !strings.Contains(file, "/vendor/") && !strings.Contains(file, "\\vendor\\") && file != "Command line code"
}

func rubyInApp(file string) bool {
	for _, p := range [...]string{"/gems/", "/lib/ruby/", "/rubies/", "<internal:", "/vendor/bundle/"} {
		if strings.Contains(file, p) {
			return false
		}
	}
	return file != ""
}

func dartInApp(file string) bool {
	return file != "" && !strings.HasPrefix(file, "dart:") && !strings.HasPrefix(file, "package:flutter/")
}

// MarkInApp decides by the rules of the language which frames of r are the
// application's, where the sender did not say: if it marked no frame at all, as a
// Frame does not tell "no" from silence.
func MarkInApp(r *millrace.Report) {
	if r == nil || anyInApp(r.Exception, maxNested) {
		return
	}
	for i := range r.Threads {
		if slices.ContainsFunc(r.Threads[i].Frames, func(f millrace.Frame) bool { return f.InApp }) {
			return
		}
	}
	markTree(r.Language, r.Exception)
	for i := range r.Threads {
		markFrames(r.Language, r.Threads[i].Frames)
	}
}

// anyInApp looks through a tree that is at most depth groups deep.
func anyInApp(e *millrace.Exception, depth int) bool {
	for ; e != nil && depth > 0; e = e.Cause {
		if slices.ContainsFunc(e.Frames, func(f millrace.Frame) bool { return f.InApp }) {
			return true
		}
		for _, list := range [...][]*millrace.Exception{e.Related, e.Members} {
			for _, x := range list {
				if anyInApp(x, depth-1) {
					return true
				}
			}
		}
	}
	return false
}

func markTree(language string, e *millrace.Exception) {
	for ; e != nil; e = e.Cause {
		markFrames(language, e.Frames)
		for _, list := range [...][]*millrace.Exception{e.Related, e.Members} {
			for _, x := range list {
				markTree(language, x)
			}
		}
	}
}

func markFrames(language string, frames []millrace.Frame) {
	for i := range frames {
		frames[i].InApp = inApp(language, &frames[i])
	}
}

// inApp decides for frames that come without a flag.
func inApp(language string, f *millrace.Frame) bool {
	switch language {
	case langJava:
		return javaInApp(f.Module)
	case langPython:
		return pythonInApp(f.File)
	case langGo:
		return goInApp(f.Module, f.File)
	case langScript:
		return scriptInApp(f.File)
	case langDotnet:
		return dotnetInApp(f.Module)
	case langPHP:
		return phpInApp(f.File)
	case langRuby:
		return rubyInApp(f.File)
	case langDart:
		return dartInApp(f.File)
	case langRust:
		return rustInApp(f)
	case langCocoa, langNative:
		if f.Module == "" && f.Function == "" {
			return false
		}
		return appleInApp(baseName(f.Module), pathOnly(f.Module)) && !nativeRuntime(f.Function) && !nativeStandard(f.Function)
	}
	return true
}

// pathOnly returns s if it is a path, "" if it is the name of an image.
func pathOnly(s string) string {
	if strings.ContainsAny(s, `/\`) {
		return s
	}
	return ""
}

// nativeStandard: names of the C++ standard library, which is linked into the
// application's images.
func nativeStandard(function string) bool {
	for _, p := range [...]string{"std::", "__gnu_cxx::", "__cxxabi", "boost::", "operator new", "operator delete", "__swift_", "swift_", "objc_"} {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
