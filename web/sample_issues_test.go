package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// fault is what sample issues are made of.
type fault struct{ typ, title, culprit, service, language string }

var faults = []fault{
	{"com.acme.shop.checkout.payment.gateway.PaymentGatewayUnavailableException", "Der Zahlungsdienst antwortet nicht: Zeitüberschreitung nach 30.000 ms (Bestellung 4711-0815, Händler „Bücher & Mehr GmbH“)", "com.acme.shop.checkout.payment.gateway.AdyenGatewayAdapter.authorize", "checkout", "java"},
	{"java.lang.IllegalStateException", "cart 8f31 is already checked out", "com.acme.shop.Cart.checkout", "checkout", "java"},
	{"java.util.concurrent.CompletionException", "java.net.SocketTimeoutException: Read timed out", "com.acme.search.SuggestionClient.lambda$fetch$3", "search", "java"},
	{"org.springframework.dao.DataIntegrityViolationException", "could not execute statement; SQL [n/a]; constraint [uk_customer_email]; nested exception is org.hibernate.exception.ConstraintViolationException", "com.acme.customer.CustomerRepository.save", "customers", "java"},
	{"TypeError", "Cannot read properties of undefined (reading 'price')", "renderCart(app:///static/js/cart.4f1c2.js)", "web", "javascript"},
	{"库存服务异常", "商品 10086 库存不足：剩余 0，需要 3（仓库：上海一号）", "inventory.stock.reserve", "inventory", "python"},
	{"django.db.utils.OperationalError", "FATAL: remaining connection slots are reserved for non-replication superuser connections", "orders.views.create_order", "orders", "python"},
	{"System.NullReferenceException", "Object reference not set to an instance of an object.", "Acme.Billing.InvoiceService.Render", "billing", "dotnet"},
	{"EXC_BAD_ACCESS (SIGSEGV)", "KERN_INVALID_ADDRESS at 0x0000000000000010", "-[ACMCartViewController tableView:cellForRowAtIndexPath:]", "ios", "cocoa"},
	{"runtime error", "invalid memory address or nil pointer dereference", "github.com/acme/router/internal/proxy.(*Pool).pick", "router", "go"},
	{"Illuminate\\Database\\QueryException", "SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock", "App\\Http\\Controllers\\OrderController::store", "legacy", "php"},
	{"ActionView::Template::Error", "undefined method `name' for nil:NilClass", "app/views/products/show.html.erb", "catalog", "ruby"},
	{"FormatException", "Unexpected character (at character 1)", "package:acme_app/api/client.dart", "android", "dart"},
	{"OutOfMemoryError", "Failed to allocate a 8294416 byte allocation with 2097152 free bytes and 2MB until OOM", "com.acme.app.image.BitmapLoader.decode", "android", "java"},
	{"ValueError", "Ungültiges Datum: „31.02.2026“ entspricht nicht dem Format TT.MM.JJJJ", "billing.reports.parse_period", "billing", "python"},
	{"", "signal: segmentation fault (core dumped)", "", "", "native"},
	{"AssertionError", "", "com.acme.pricing.PriceRules.check", "pricing", "java"},
	{"AVeryLongExceptionNameWithoutAnyPlaceToBreakItBecauseSomebodyGeneratedItFromASchemaOfTheirsAndNeverLookedAtItAgain", strings.Repeat("x", 400), "generated.Code.run", "generated", "java"},
}

// loadFaults makes 40 issues in all states.
func (f *fakeIssues) loadFaults() {
	for k := range 40 {
		x := faults[k%len(faults)]
		age := time.Duration(k*k+1) * 3 * time.Hour
		i := millrace.Issue{
			Type: x.typ, Title: x.title, Culprit: x.culprit, Service: x.service, Language: x.language, Level: "error",
			FirstSeen: f.now.Add(-age).UnixNano(), LastSeen: f.now.Add(-time.Duration(k) * 4 * time.Minute).UnixNano(),
			FirstRelease: fmt.Sprintf("shop@4.%d.0", 20-k/4), LastRelease: "shop@4.21.3",
		}
		if k >= len(faults) {
			i.Title = fmt.Sprintf("%s (%d)", x.title, k)
		}
		switch k % 9 {
		case 2:
			i.State, i.Regressed, i.Resolution = millrace.IssueRegressed, f.now.Add(-time.Hour).UnixNano(), millrace.Resolution{At: 1, By: "Grace", Release: "shop@4.20.0"}
		case 4:
			i.State, i.Ignore = millrace.IssueIgnored, millrace.Ignore{At: 1, By: "Ada", Occurrences: 1000}
		case 7:
			i.State, i.Resolution = millrace.IssueResolved, millrace.Resolution{At: 1, By: "Ada", Next: true}
		}
		if k%3 == 0 {
			i.Owner = "team-payments"
		}
		f.add(i, sampleReport(x), sampleAttrs(f.now), 7)
	}
}

// sampleReport is a Java stack with a cause, proxies and threads.
func sampleReport(x fault) *millrace.Report {
	frames := func(class string, n int) []millrace.Frame {
		out := []millrace.Frame{
			{Module: "sun.nio.ch.NioSocketImpl", Function: "timedRead", File: "NioSocketImpl.java", Line: 288},
			{Module: class, Function: "authorize", File: "AdyenGatewayAdapter.java", Line: 142, InApp: true},
			{Module: "com.acme.shop.checkout.CartController$$Lambda$231/0x0000000800c1", Function: "apply", InApp: true},
		}
		for k := range n {
			out = append(out, millrace.Frame{Module: "org.springframework.web.servlet.DispatcherServlet", Function: fmt.Sprintf("doDispatch%d", k), File: "DispatcherServlet.java", Line: 1000 + k})
		}
		out = append(out, millrace.Frame{Module: "com.acme.shop.filter.TenantFilter", Function: "doFilter", File: "TenantFilter.java", Line: 44, InApp: true})
		return append(out, millrace.Frame{Module: "java.lang.Thread", Function: "run", File: "Thread.java", Line: 1583})
	}
	handled := false
	return &millrace.Report{
		Language: x.language, Mechanism: "generic", Handled: &handled,
		Exception: &millrace.Exception{
			Type: x.typ, Message: x.title, Frames: frames("com.acme.shop.checkout.payment.gateway.AdyenGatewayAdapter", 31), Thread: "http-nio-8080-exec-7",
			Cause: &millrace.Exception{
				Type: "java.net.SocketTimeoutException", Message: "Read timed out", Frames: frames("com.acme.net.Client", 2)[:4], Common: 12,
			},
			Related: []*millrace.Exception{{Type: "java.io.IOException", Message: "Stream closed", Frames: frames("com.acme.net.Client", 0)}},
		},
		Threads: []millrace.Thread{
			{ID: "7", Name: "http-nio-8080-exec-7", Crashed: true, State: "RUNNABLE"},
			{ID: "1", Name: "main", State: "WAITING", Frames: frames("com.acme.Main", 3)},
		},
	}
}

func sampleAttrs(now time.Time) map[string]any {
	sec := float64(now.Unix())
	return map[string]any{
		"request.url": "https://shop.example.com/api/cart/checkout?coupon=HERBST", "request.method": "POST", "user.id": "4711", "user.email": "kunde@example.org",
		"tags.region": "eu-central-1", "tags.tier": "web", "contexts.runtime.name": "OpenJDK", "contexts.runtime.version": "21.0.2", "extra.cart": map[string]any{"items": 3, "total": "129,90 €"},
		"error_class": "system", "event_id": "9ec79c33ec9942ab8353589fcb2e04dc",
		"breadcrumbs": map[string]any{"values": []any{
			map[string]any{"timestamp": sec - 4, "category": "http", "type": "http", "level": "info", "data": map[string]any{"url": "/api/cart", "status_code": 200}},
			map[string]any{"timestamp": sec - 2, "category": "auth", "level": "warning", "message": "Sitzung läuft in 30 s ab"},
			map[string]any{"timestamp": "2026-05-20T12:34:55Z", "category": "payment", "level": "error", "message": "authorisation failed, trying again (2/3)"},
		}},
	}
}
