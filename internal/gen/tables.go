package gen

// serviceRow describes a service. Routes are pairs of method and path, the most
// used first.
type serviceRow struct {
	name, lang         string
	medianMS, bytes    float64
	bad, denied, moved float64 // shares of 5xx, 4xx, 3xx
	routes             string
}

// serviceTable is the shop, the busiest service first. The first one is the web
// front whose lines are access logs of nginx.
var serviceTable = []serviceRow{
	{
		"storefront", "node", 38, 18000, 0.0015, 0.021, 0.06,
		`GET /product/{id} GET / GET /search GET /category/{id} GET /static/app.js GET /static/site.css
		GET /cart POST /cart/items GET /login POST /login GET /account GET /favicon.ico GET /robots.txt`,
	},
	{
		"catalog", "go", 7, 5200, 0.0006, 0.011, 0.002,
		`GET /api/v1/products/{id} GET /api/v1/products GET /api/v1/categories GET /api/v1/prices/{id} GET /healthz`,
	},
	{
		"search", "go", 24, 9800, 0.0011, 0.004, 0,
		`GET /api/v1/search GET /api/v1/suggest GET /api/v1/facets POST /api/v1/index/{id}`,
	},
	{
		"users", "python", 19, 1400, 0.0013, 0.055, 0.001,
		`GET /api/v1/users/{id} POST /api/v1/sessions GET /api/v1/sessions/current DELETE /api/v1/sessions/current
		GET /api/v1/users/{id}/addresses PUT /api/v1/users/{id}`,
	},
	{
		"cart", "go", 9, 900, 0.0008, 0.009, 0,
		`GET /api/v1/carts/{id} POST /api/v1/carts/{id}/items DELETE /api/v1/carts/{id}/items POST /api/v1/carts`,
	},
	{
		"recommend", "python", 52, 3100, 0.0022, 0.002, 0,
		`GET /api/v1/recommendations/{id} GET /api/v1/trending POST /api/v1/feedback`,
	},
	{
		"media", "go", 4, 41000, 0.0004, 0.018, 0.11,
		`GET /img/{id}.webp GET /img/thumb/{id}.webp GET /video/{id}.mp4 PUT /img/{id}.webp`,
	},
	{
		"checkout", "java", 86, 1900, 0.0031, 0.016, 0.01,
		`GET /api/v1/checkout/{id} POST /api/v1/checkout POST /api/v1/checkout/{id}/confirm GET /api/v1/shipping-options POST /api/v1/vouchers`,
	},
	{
		"payments", "java", 210, 700, 0.0044, 0.031, 0,
		`POST /api/v1/payments GET /api/v1/payments/{id} POST /api/v1/payments/{id}/capture POST /api/v1/refunds`,
	},
	{
		"orders", "java", 33, 2600, 0.0018, 0.008, 0,
		`GET /api/v1/orders/{id} GET /api/v1/orders POST /api/v1/orders GET /api/v1/orders/{id}/invoice`,
	},
	{
		"inventory", "go", 6, 600, 0.0009, 0.003, 0,
		`GET /api/v1/stock/{id} POST /api/v1/stock/reserve POST /api/v1/stock/release`,
	},
	{
		"notify", "node", 120, 300, 0.0052, 0.006, 0,
		`POST /api/v1/mails POST /api/v1/push GET /api/v1/templates/{id}`,
	},
}

const cityTable = `berlin london paris madrid rome vienna hamburg munich warsaw amsterdam lisbon dublin
	prague milan zurich oslo copenhagen stockholm helsinki brussels athens budapest lyon porto
	krakow leeds cologne valencia turin graz basel ghent`

type deviceRow struct{ name, device, os, agent string }

var deviceTable = []deviceRow{
	{"iPhone17,3; iOS 19", "phone", "ios", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1"},
	{"Pixel 9; Android 16", "phone", "android", "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36"},
	{"Windows NT 10.0", "desktop", "windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"},
	{"SM-S921B; Android 15", "phone", "android", "Mozilla/5.0 (Linux; Android 15; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"},
	{"Macintosh; macOS 16", "desktop", "macos", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15"},
	{"iPad14,8; iPadOS 19", "tablet", "ios", "Mozilla/5.0 (iPad; CPU OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1"},
	{"X11; Linux x86_64", "desktop", "linux", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"},
	{"BRAVIA; Android 14", "tv", "android", "Mozilla/5.0 (Linux; Android 14; BRAVIA 4K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"},
}

// texts are what the message of a JSON line is cut from, by its level.
var texts = [len(levels)]string{textOK, textDenied, textFailed}

// They are as repetitive as the messages of real services.
const (
	textOK = "handled: cache hit, 2 queries, 0 retries, pool 7/64, session valid, features a1 b0 c1, region eu-central, " +
		"queued 0 ms, upstream connected, tls 1.3, keepalive, compressed br, priority normal, quota 82 percent left, " +
		"policy default, shard 3, replica near, flags none, experiment control, sampling full, audit off, end of request"
	textDenied = "refused: validation failed, token expired or resource unknown, 1 query, 0 retries, session anonymous, region eu-central, " +
		"rule default-deny, quota 12 percent left, client told to try another way, no upstream contacted, tls 1.3, keepalive, " +
		"policy strict, shard 3, replica near, flags none, experiment control, sampling full, audit on, end of request"
	textFailed = "failed: upstream gave no answer in time, 3 retries, breaker half open, pool 64/64, session valid, region eu-central, " +
		"queued 940 ms, upstream reset the connection, tls 1.3, closing, fallback unavailable, quota 82 percent left, " +
		"policy default, shard 3, replica far, flags degraded, experiment control, sampling full, audit on, end of request"
)
