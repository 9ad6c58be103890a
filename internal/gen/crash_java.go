package gen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// javaFault is one fault of a made-up Java service: what is the same each time
// it happens. NUMBER in its texts is what differs.
type javaFault struct {
	service, logger string
	typ, message    string
	trace           string // from the first frame on
}

// newJavaFault makes the n-th fault. Its frames in the application are its own,
// those of the framework are the same for all, as in real services.
func newJavaFault(n, frames int, rng *rand.Rand) javaFault {
	area := crashAreas[n%len(crashAreas)]
	name := strings.ToUpper(area[:1]) + area[1:]
	pkg := "com.bigshop." + area
	f := javaFault{
		service: area, logger: pkg + "." + name + "Service",
		typ:     crashTypes[rng.IntN(len(crashTypes))],
		message: crashMessages[rng.IntN(len(crashMessages))],
	}
	inApp := max(2, frames*2/5)
	var b strings.Builder
	for i := range inApp {
		layer := crashLayers[i*len(crashLayers)/inApp]
		class := name + strings.ToUpper(layer[:1]) + layer[1:] + crashWords[rng.IntN(len(crashWords))]
		method := crashVerbs[rng.IntN(len(crashVerbs))] + crashWords[rng.IntN(len(crashWords))]
		switch {
		case i%9 == 4:
			method = "lambda$" + method + "$LAMBDA"
		case i%9 == 7:
			class += "$$SpringCGLIB$$GENERATED"
			fmt.Fprintf(&b, "\tat %s.%s.%s.%s(<generated>)\n", pkg, layer, class, method)
			continue
		}
		fmt.Fprintf(&b, "\tat %s.%s.%s.%s(%s.java:%d) ~[%s-core-%d.%d.jar:?]\n", pkg, layer, class, method, class, 20+rng.IntN(600), area, 1+n%4, n%13)
	}
	rest := frames - inApp
	for i := range rest {
		b.WriteString("\tat " + crashFramework[i%len(crashFramework)] + "\n")
	}
	if n%2 == 0 && frames > 20 {
		fmt.Fprintf(&b, "Caused by: %s: %s NUMBER\n", crashTypes[rng.IntN(len(crashTypes))], crashMessages[rng.IntN(len(crashMessages))])
		for i := range 6 {
			class := name + "Store" + crashWords[rng.IntN(len(crashWords))]
			fmt.Fprintf(&b, "\tat %s.store.%s.%s%d(%s.java:%d) ~[%s-store-%d.jar:?]\n", pkg, class, crashVerbs[rng.IntN(len(crashVerbs))], i, class, 20+rng.IntN(600), area, 1+n%4)
		}
		fmt.Fprintf(&b, "\t... %d more\n", frames-2)
	}
	f.trace = b.String()
	return f
}

// occurrence returns the trace of one occurrence: lambdas and generated classes
// are numbered anew by each run of the VM.
func (f *javaFault) occurrence(rng *rand.Rand) string {
	return strings.NewReplacer("LAMBDA", fmt.Sprint(rng.IntN(40)), "GENERATED", fmt.Sprint(rng.IntN(9))).Replace(f.trace)
}

var (
	crashAreas = []string{
		"orders", "payments", "checkout", "stock", "pricing", "shipping", "search", "accounts", "reviews", "coupons", "invoices", "returns",
	}
	crashLayers = []string{"model", "store", "client", "service", "api"}
	crashVerbs  = []string{"load", "save", "find", "apply", "merge", "check", "build", "parse", "send", "reserve", "release", "price", "convert", "resolve"}
	crashWords  = []string{
		"Item", "Basket", "Voucher", "Address", "Tariff", "Parcel", "Ledger", "Refund", "Quote", "Batch", "Policy", "Window",
		"Snapshot", "Region", "Carrier", "Session", "Limit", "Index", "Schedule", "Contract",
	}
	crashTypes = []string{
		"java.lang.IllegalStateException", "java.lang.NullPointerException", "java.lang.IllegalArgumentException",
		"java.util.concurrent.TimeoutException", "java.net.SocketTimeoutException", "java.sql.SQLTransientConnectionException",
		"org.springframework.dao.DataIntegrityViolationException", "org.springframework.web.client.ResourceAccessException",
		"com.fasterxml.jackson.databind.exc.MismatchedInputException", "java.util.NoSuchElementException",
		"com.bigshop.common.RetryExhaustedException", "com.bigshop.common.ContractBrokenException", "java.io.UncheckedIOException",
		"java.lang.ArithmeticException", "java.util.ConcurrentModificationException", "java.lang.IndexOutOfBoundsException",
	}
	crashMessages = []string{
		"cannot confirm order", "no answer after 2000 ms for request", "state is PAID, expected OPEN, order", "duplicate key for row",
		"connection is not available, request", "unexpected token at position", "voucher is not valid for customer", "no value present for",
		"stock went below zero for item", "quota is used up for tenant", "index is out of bounds for length", "currency differs in line",
	}
	crashFramework = []string{
		"java.base/jdk.internal.reflect.DirectMethodHandleAccessor.invoke(DirectMethodHandleAccessor.java:103) ~[?:?]",
		"java.base/java.lang.reflect.Method.invoke(Method.java:580) ~[?:?]",
		"org.springframework.aop.support.AopUtils.invokeJoinpointUsingReflection(AopUtils.java:359) ~[spring-aop-6.1.14.jar:6.1.14]",
		"org.springframework.aop.framework.ReflectiveMethodInvocation.proceed(ReflectiveMethodInvocation.java:184) ~[spring-aop-6.1.14.jar:6.1.14]",
		"org.springframework.transaction.interceptor.TransactionInterceptor.invoke(TransactionInterceptor.java:119) ~[spring-tx-6.1.14.jar:6.1.14]",
		"org.springframework.aop.framework.CglibAopProxy$DynamicAdvisedInterceptor.intercept(CglibAopProxy.java:768) ~[spring-aop-6.1.14.jar:6.1.14]",
		"org.springframework.web.method.support.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:255) ~[spring-web-6.1.14.jar:6.1.14]",
		"org.springframework.web.servlet.mvc.method.annotation.ServletInvocableHandlerMethod.invokeAndHandle(ServletInvocableHandlerMethod.java:118) ~[spring-webmvc-6.1.14.jar:6.1.14]",
		"org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter.invokeHandlerMethod(RequestMappingHandlerAdapter.java:926) ~[spring-webmvc-6.1.14.jar:6.1.14]",
		"org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089) ~[spring-webmvc-6.1.14.jar:6.1.14]",
		"org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1014) ~[spring-webmvc-6.1.14.jar:6.1.14]",
		"jakarta.servlet.http.HttpServlet.service(HttpServlet.java:658) ~[tomcat-embed-core-10.1.31.jar:6.0]",
		"org.apache.catalina.core.ApplicationFilterChain.internalDoFilter(ApplicationFilterChain.java:195) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:140) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.springframework.web.filter.OncePerRequestFilter.doFilter(OncePerRequestFilter.java:116) ~[spring-web-6.1.14.jar:6.1.14]",
		"org.springframework.security.web.FilterChainProxy$VirtualFilterChain.doFilter(FilterChainProxy.java:374) ~[spring-security-web-6.3.4.jar:6.3.4]",
		"org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:167) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.catalina.core.StandardContextValve.invoke(StandardContextValve.java:90) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.catalina.valves.ErrorReportValve.invoke(ErrorReportValve.java:93) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.catalina.connector.CoyoteAdapter.service(CoyoteAdapter.java:344) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.coyote.http11.Http11Processor.service(Http11Processor.java:384) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.tomcat.util.net.NioEndpoint$SocketProcessor.doRun(NioEndpoint.java:1741) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"org.apache.tomcat.util.threads.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1190) ~[tomcat-embed-core-10.1.31.jar:10.1.31]",
		"java.base/java.lang.Thread.run(Thread.java:1583) ~[?:?]",
	}
)
