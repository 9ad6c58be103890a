package transform

import "strings"

// botNames are bots and tools that are told by name, with the family they are
// counted under. Special ones stand before general ones. The selection covers
// what access logs see most; others are told by botWords and have no family.
var botNames = []struct{ word, family string }{
	{"Googlebot-Image", "Googlebot-Image"},
	{"Googlebot", "Googlebot"},
	{"AdsBot-Google", "AdsBot-Google"},
	{"Mediapartners-Google", "Mediapartners-Google"},
	{"Google-InspectionTool", "Google-InspectionTool"},
	{"GoogleOther", "GoogleOther"},
	{"Feedfetcher-Google", "Feedfetcher-Google"},
	{"Google-Read-Aloud", "Google-Read-Aloud"},
	{"Google Favicon", "Google Favicon"},
	{"bingbot", "bingbot"},
	{"BingPreview", "BingPreview"},
	{"adidxbot", "adidxbot"},
	{"msnbot", "msnbot"},
	{"Slurp", "Yahoo Slurp"},
	{"DuckDuckBot", "DuckDuckBot"},
	{"Baiduspider", "Baiduspider"},
	{"YandexBot", "YandexBot"},
	{"Yandex", "Yandex"},
	{"Sogou", "Sogou"},
	{"YisouSpider", "YisouSpider"},
	{"PetalBot", "PetalBot"},
	{"Bytespider", "Bytespider"},
	{"SeznamBot", "SeznamBot"},
	{"Applebot", "Applebot"},
	{"Amazonbot", "Amazonbot"},
	{"Amazon CloudFront", "Amazon CloudFront"},
	{"GPTBot", "GPTBot"},
	{"OAI-SearchBot", "OAI-SearchBot"},
	{"ChatGPT-User", "ChatGPT-User"},
	{"ClaudeBot", "ClaudeBot"},
	{"Claude-", "Claude"},
	{"anthropic-ai", "anthropic-ai"},
	{"PerplexityBot", "PerplexityBot"},
	{"CCBot", "CCBot"},
	{"meta-external", "Meta"},
	{"facebookexternalhit", "facebookexternalhit"},
	{"facebookcatalog", "facebookcatalog"},
	{"Facebot", "Facebot"},
	{"Twitterbot", "Twitterbot"},
	{"LinkedInBot", "LinkedInBot"},
	{"Pinterestbot", "Pinterestbot"},
	{"Slackbot", "Slackbot"},
	{"Slack-ImgProxy", "Slackbot"},
	{"TelegramBot", "TelegramBot"},
	{"Discordbot", "Discordbot"},
	{"WhatsApp", "WhatsApp"},
	{"SkypeUriPreview", "SkypeUriPreview"},
	{"AhrefsBot", "AhrefsBot"},
	{"SemrushBot", "SemrushBot"},
	{"MJ12bot", "MJ12bot"},
	{"DotBot", "DotBot"},
	{"BLEXBot", "BLEXBot"},
	{"DataForSeoBot", "DataForSeoBot"},
	{"Screaming Frog", "Screaming Frog"},
	{"archive.org_bot", "archive.org_bot"},
	{"ia_archiver", "ia_archiver"},
	{"UptimeRobot", "UptimeRobot"},
	{"Pingdom", "Pingdom"},
	{"StatusCake", "StatusCake"},
	{"Site24x7", "Site24x7"},
	{"Datadog", "Datadog"},
	{"NewRelicPinger", "New Relic"},
	{"check_http", "check_http"},
	{"Zabbix", "Zabbix"},
	{"Prometheus", "Prometheus"},
	{"Blackbox Exporter", "Blackbox Exporter"},
	{"kube-probe", "kube-probe"},
	{"ELB-HealthChecker", "ELB-HealthChecker"},
	{"GoogleHC", "GoogleHC"},
	{"Consul Health Check", "Consul Health Check"},
	{"HeadlessChrome", "Headless Chrome"},
	{"PhantomJS", "PhantomJS"},
	{"Chrome-Lighthouse", "Lighthouse"},
	{"Google Page Speed", "PageSpeed"},
	{"GTmetrix", "GTmetrix"},
	{"FeedBurner", "FeedBurner"},
	{"Feedly", "Feedly"},
	{"Feedbin", "Feedbin"},
	{"Tiny Tiny RSS", "Tiny Tiny RSS"},
	{"UniversalFeedParser", "UniversalFeedParser"},
	{"zgrab", "zgrab"},
	{"Nmap", "Nmap"},
	{"sqlmap", "sqlmap"},
	{"Nikto", "Nikto"},
	{"masscan", "masscan"},
	{"CensysInspect", "CensysInspect"},
	{"Nutch", "Nutch"},
	{"Scrapy", "Scrapy"},
	{"HTTrack", "HTTrack"},
	{"libcurl", "curl"},
	{"curl", "curl"},
	{"Wget", "Wget"},
	{"HTTPie", "HTTPie"},
	{"PostmanRuntime", "Postman"},
	{"insomnia/", "Insomnia"},
	{"python-requests", "python-requests"},
	{"Python-urllib", "Python-urllib"},
	{"python-httpx", "python-httpx"},
	{"aiohttp", "aiohttp"},
	{"Go-http-client", "Go-http-client"},
	{"Go http package", "Go-http-client"},
	{"Apache-HttpClient", "Apache-HttpClient"},
	{"Java/", "Java"},
	{"Jetty", "Jetty"},
	{"libwww-perl", "libwww-perl"},
	{"LWP::", "libwww-perl"},
	{"node-fetch", "node-fetch"},
	{"axios/", "axios"},
	{"undici", "undici"},
	{"got (", "got"},
	{"GuzzleHttp", "Guzzle"},
	{"Symfony HttpClient", "Symfony HttpClient"},
	{"Faraday", "Faraday"},
	{"Ruby", "Ruby"},
	{"PHP/", "PHP"},
	{"reqwest/", "reqwest"},
	{"WordPress/", "WordPress"},
	{"k6/", "k6"},
	{"ApacheBench", "ApacheBench"},
	{"Apache-JMeter", "JMeter"},
	{"Lynx/", "Lynx"},
}

// botWords tell bots nobody listed. They are compared without case.
var botWords = []string{
	"crawl", "spider", "scrap", "archiver", "slurp", "fetch", "monitor", "checker", "validator", "preview", "scanner",
	"indexer", "harvest", "headless", "linkcheck", "link check", "healthcheck", "uptime", "feedparser", "feed parser",
	"rss/", "rss ", "search engine", "http_request", "httpclient", "http client", "libfetch", "python", "perl/", "urllib", "download",
	"favicon", "analyzer", "inspect", "selenium", "playwright", "puppeteer", "synthetic",
	"ptst/", "webcapture", "google-", "googleagent", "ips-agent", "w3c_", "wordpress", "mail.ru", "nagios", "research", "proxy", "reader/",
}

// botIndex finds botNames and botWords in one pass: by the low bits of a word's
// first two bytes, the same for both cases, the numbers of the words that start
// so; those of botWords follow those of botNames. To look for 160 words one
// after the other costs four times as much as all the rest of parsing a header.
var botIndex = func() (index [1 << 10][]uint8) {
	add := func(i int, word string) {
		k := botKey(word[0], word[1])
		index[k] = append(index[k], uint8(i))
	}
	for i, b := range botNames {
		add(i, b.word)
	}
	for i, w := range botWords {
		add(len(botNames)+i, w)
	}
	if len(botNames)+len(botWords) > 256 {
		panic("BUG: the numbers of the words do not fit a byte")
	}
	return index
}()

func botKey(a, b byte) int { return int(a&31)<<5 | int(b&31) }

// botFamily returns the family of a bot or tool, "" if it has none, and whether
// the header is one's. os is the system it names, or "".
func botFamily(header, os string) (family string, bot bool) {
	first := len(botNames) + len(botWords) // the word that stands first in the lists
	for i := 0; i+1 < len(header); i++ {
		for _, n := range botIndex[botKey(header[i], header[i+1])] {
			if int(n) < first && botAt(header, i, int(n)) {
				first = int(n)
			}
		}
	}
	switch {
	case first < len(botNames):
		return botNames[first].family, true
	case first < len(botNames)+len(botWords):
		return "", true
	}
	return "", isBotWord(header) || isCompatible(header) || os == "" && isProgram(header)
}

// botAt reports whether a word of the lists stands at i.
func botAt(header string, i, n int) bool {
	var word string
	if n < len(botNames) {
		word = botNames[n].word
		if i > 0 && isLetter(header[i-1]) && isLetter(header[i]) { // curl, but not in Scurl
			return false
		}
	} else {
		word = botWords[n-len(botNames)]
	}
	return len(header)-i >= len(word) && strings.EqualFold(header[i:i+len(word)], word)
}

// isCompatible recognises what claims to be compatible and no more.
func isCompatible(header string) bool {
	return strings.Contains(header, "(compatible") && !containsAny(header, "MSIE", "Konqueror", "Trident", "Opera")
}

// isProgram recognises what names no browser, if it names no system either:
// "newspaper/0.2.5".
func isProgram(header string) bool {
	if containsAny(header, "Mozilla/", "Opera", "Browser", "BROWSER", "MIDP", "WAP", "Profile/") {
		return false
	}
	for _, n := range agentNames {
		if strings.Contains(header, n.word) {
			return false
		}
	}
	return true
}

// isBotWord finds "bot" at the end of a word or before what is no letter, but
// not the maker of phones, CUBOT.
func isBotWord(header string) bool {
	for from := 0; ; {
		i := indexFold(header[from:], "bot")
		if i < 0 {
			return false
		}
		i += from
		end := i + 3
		if end < len(header) && header[end]|0x20 == 's' {
			end++
		}
		if (end == len(header) || !isLetter(header[end])) && (i < 2 || !strings.EqualFold(header[i-2:i], "cu")) {
			return true
		}
		from = i + 3
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
