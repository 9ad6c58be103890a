package exception

import "strings"

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

func javaInApp(class string) bool {
	for _, p := range javaLibraries {
		if strings.HasPrefix(class, p) {
			return false
		}
	}
	return !strings.HasPrefix(class, "$Proxy") && !strings.HasPrefix(class, "com.sun.proxy.")
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

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
