package gen

import "strings"

// fault is an exception a service throws. The number of the thing it failed on
// stands between head and tail, in Go, whose HTTP server logs panics in one
// line with the client's port, between text and head.
type fault struct {
	logger, text string // the line above the trace
	head, tail   string
}

// faultsOf returns what a service of a language throws, the most frequent
// first. NAME in a template is the service, Name its capitalized form.
func faultsOf(lang, name string) []fault {
	return fill(faultTable[lang], name)
}

// newFaultOf returns what only the bad release throws.
func newFaultOf(lang, name string) fault {
	return fill([]fault{newFaultTable[lang]}, name)[0]
}

func fill(list []fault, name string) []fault {
	r := strings.NewReplacer("NAME", name, "Name", strings.ToUpper(name[:1])+name[1:])
	out := make([]fault, len(list))
	for i, f := range list {
		out[i] = fault{r.Replace(f.logger), r.Replace(f.text), r.Replace(f.head), r.Replace(f.tail)}
	}
	return out
}

var faultTable = map[string][]fault{
	"java": {
		{
			"shop.example.NAME.NameService", "Request failed",
			"java.net.SocketTimeoutException: Read timed out after 2000 ms, request ", `
	at java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:278)
	at java.base/sun.nio.ch.NioSocketImpl.implRead(NioSocketImpl.java:304)
	at shop.example.NAME.client.BackendClient.call(BackendClient.java:88)
	at shop.example.NAME.NameService.handle(NameService.java:142)
	at shop.example.NAME.NameController.post(NameController.java:51)
	at org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:885)
	at java.base/java.lang.Thread.run(Thread.java:1583)
`,
		},
		{
			"shop.example.NAME.store.NameRepository", "Cannot store",
			"org.springframework.dao.DataIntegrityViolationException: could not execute statement for ", `
	at org.springframework.orm.jpa.vendor.HibernateJpaDialect.convertHibernateAccessException(HibernateJpaDialect.java:276)
	at shop.example.NAME.store.NameRepository.save(NameRepository.java:63)
	at shop.example.NAME.NameService.store(NameService.java:201)
	at shop.example.NAME.NameController.post(NameController.java:58)
Caused by: org.postgresql.util.PSQLException: ERROR: duplicate key value violates unique constraint "NAME_pkey"
	at org.postgresql.core.v3.QueryExecutorImpl.receiveErrorResponse(QueryExecutorImpl.java:2725)
	at org.postgresql.jdbc.PgStatement.execute(PgStatement.java:501)
	... 2 more
`,
		},
		{
			"shop.example.NAME.NameController", "Rejected",
			"java.lang.IllegalArgumentException: no such voucher: ", `
	at shop.example.NAME.model.Voucher.parse(Voucher.java:37)
	at shop.example.NAME.NameService.apply(NameService.java:97)
	at shop.example.NAME.NameController.post(NameController.java:44)
	at java.base/java.lang.Thread.run(Thread.java:1583)
`,
		},
	},
	"python": {
		{
			"NAME.views", "Request failed",
			"", `Traceback (most recent call last):
  File "/srv/NAME/app/views.py", line 214, in dispatch
    return handler(request, *args)
           ^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/NAME/app/store.py", line 77, in load
    row = self.rows[key]
          ~~~~~~~~~^^^^^
KeyError: 'profile'
`,
		},
		{
			"NAME.db", "Query failed",
			"", `Traceback (most recent call last):
  File "/usr/lib/python3.13/site-packages/psycopg/connection.py", line 120, in wait
    return waiting.wait(gen, self.pgconn.socket, interval=interval)
  File "/srv/NAME/app/db.py", line 41, in query
    cur.execute(sql, params)
psycopg.errors.QueryCanceled: canceling statement due to statement timeout

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/NAME/app/views.py", line 98, in get
    return render(self.db.query(SQL, key))
  File "/srv/NAME/app/db.py", line 44, in query
    raise BackendError("database did not answer") from err
NAME.errors.BackendError: database did not answer
`,
		},
	},
	"go": {
		{
			"NAME", "http: panic serving 198.18.0.7:",
			": runtime error: invalid memory address or nil pointer dereference", `
goroutine 4711 [running]:
shop.example/NAME/internal/store.(*Cache).Get(0x0, {0xc0004a6000, 0x11})
	/src/NAME/internal/store/cache.go:83 +0x1d
shop.example/NAME/internal/api.(*Server).get(0xc00021e000, {0x8d1f40, 0xc0003b4000}, 0xc0002f6000)
	/src/NAME/internal/api/get.go:57 +0x2c5
net/http.HandlerFunc.ServeHTTP(0xc0000a4050, {0x8d1f40, 0xc0003b4000}, 0xc0002f6000)
	/usr/local/go/src/net/http/server.go:2294 +0x29
created by net/http.(*Server).Serve in goroutine 1
	/usr/local/go/src/net/http/server.go:3454 +0x485
`,
		},
		{
			"NAME", "http: panic serving 198.18.0.7:",
			": runtime error: index out of range [12] with length 12", `
goroutine 815 [running]:
shop.example/NAME/internal/rank.(*Heap).Pop(...)
	/src/NAME/internal/rank/heap.go:44
shop.example/NAME/internal/rank.Top({0xc0005b2000, 0xc, 0x10}, 0xd)
	/src/NAME/internal/rank/top.go:29 +0x114
shop.example/NAME/internal/api.(*Server).list(0xc00021e000, {0x8d1f40, 0xc0003b4000}, 0xc0002f6000)
	/src/NAME/internal/api/list.go:91 +0x3a2
`,
		},
	},
	"node": {
		{
			"NAME", "request failed",
			"TypeError: Cannot read properties of undefined (reading 'price')", `
    at renderPrice (/srv/NAME/dist/product.js:118:27)
    at Array.map (<anonymous>)
    at renderPage (/srv/NAME/dist/product.js:64:18)
    at async handler (/srv/NAME/dist/server.js:201:5)
    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)
`,
		},
		{
			"NAME", "upstream failed",
			"Error: connect ECONNREFUSED 10.20.0.14:8443", `
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1637:16)
    at async fetchJSON (/srv/NAME/dist/client.js:33:17)
    at async handler (/srv/NAME/dist/server.js:187:20)
`,
		},
	},
}

// newFaultTable holds one exception per language that no good release throws.
var newFaultTable = map[string]fault{
	"java": {
		"shop.example.NAME.NameService", "Pricing failed",
		"shop.example.NAME.pricing.CurrencyMismatchException: expected EUR, got null for ", `
	at shop.example.NAME.pricing.Money.plus(Money.java:58)
	at shop.example.NAME.pricing.Totals.sum(Totals.java:33)
	at shop.example.NAME.NameService.total(NameService.java:164)
	at shop.example.NAME.NameController.post(NameController.java:49)
	at java.base/java.lang.Thread.run(Thread.java:1583)
Caused by: java.lang.NullPointerException: Cannot invoke "java.util.Currency.getCurrencyCode()" because "this.currency" is null
	at shop.example.NAME.pricing.Money.code(Money.java:71)
	... 5 more
`,
	},
	"python": {
		"NAME.views", "Serialization failed",
		"", `Traceback (most recent call last):
  File "/srv/NAME/app/views.py", line 131, in get
    return encode(user)
  File "/srv/NAME/app/encode.py", line 18, in encode
    return schema.dump(value)
NAME.schema.SchemaMismatchError: field 'consent' is required since version 3
`,
	},
	"go": {
		"NAME", "http: panic serving 198.18.0.7:",
		": assignment to entry in nil map", `
goroutine 99 [running]:
shop.example/NAME/internal/price.(*Table).Add(0xc000412000, {0xc0006a0000, 0x9}, 0x4f7)
	/src/NAME/internal/price/table.go:61 +0x86
shop.example/NAME/internal/api.(*Server).put(0xc00021e000, {0x8d1f40, 0xc0003b4000}, 0xc0002f6000)
	/src/NAME/internal/api/put.go:72 +0x21d
`,
	},
	"node": {
		"NAME", "render failed",
		"RangeError: Maximum call stack size exceeded", `
    at expand (/srv/NAME/dist/tree.js:12:9)
    at expand (/srv/NAME/dist/tree.js:14:16)
    at renderMenu (/srv/NAME/dist/menu.js:40:11)
    at async handler (/srv/NAME/dist/server.js:201:5)
`,
	},
}

// infoLines are what services log when nothing is wrong.
var infoLines = []string{
	"request finished id=", "cache refreshed entries=", "connection pool resized to ", "job done id=", "configuration reloaded version=",
	"slow query took ms=", "session opened id=", "retrying call attempt=", "health check ok seq=", "snapshot written bytes=",
}
