package transform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

const (
	agentChrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
	agentIPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)

func TestParseAgent(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		a := ParseAgent(header)
		got := strings.Join([]string{a.Family, a.Major, a.OS, a.OSVersion, a.Device.String()}, "|")
		if got != want || a.Bot != (a.Device == DeviceBot) {
			t.Errorf("%s\n is %s, bot %v\nwant %s", header, got, a.Bot, want)
		}
	}
	f("", "||||other")
	f("-", "||||other")
	f(agentChrome, "Chrome|126|Windows|10|desktop")
	f(agentIPhone, "Safari|17|iOS|17|phone")
	f("Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1", "Chrome|120|iOS|16|tablet")
	f("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", "Safari|17|macOS|10.15|desktop")
	f("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox|127|macOS|10.15|desktop")
	f("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox|127|Linux||desktop")
	f("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome|126|ChromeOS||desktop")
	f("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.71 Mobile Safari/537.36", "Chrome|126|Android|14|phone")
	f("Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome|126|Android|13|tablet")
	f("Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36", "Samsung Browser|25|Android|13|phone")
	f("Mozilla/5.0 (Linux; Android 5.1.1; KFFOWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/81.2.16 like Chrome/81.0.4044.138 Safari/537.36", "Amazon Silk|81|Android|5|tablet")
	f("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge|126|Windows|10|desktop")
	f("Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 YaBrowser/24.6.0 Safari/537.36", "Yandex Browser|24|Windows|10|desktop")
	f("Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer|11|Windows|8.1|desktop")
	f("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)", "Internet Explorer|8|Windows|XP|desktop")
	f("Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16", "Opera|12|Linux||desktop")
	f("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/34.1244; U; en) Presto/2.8.119 Version/11.10", "Opera Mini|7|||phone")
	f("Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49 NetType/WIFI", "WeChat|8|iOS|16|phone")
	f("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", "iOS WebView||iOS|17|phone")
	f("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/320.0.6 Mobile/15E148 Safari/604.1", "Google App|320|iOS|17|phone")
	f("Shop/3.2 CFNetwork/1496.0.7 Darwin/23.5.0", "CFNetwork|1496|iOS||phone")
	f("okhttp/4.12.0", "okhttp|4|||other") // an app: there is a person behind it
	f("Dalvik/2.1.0 (Linux; U; Android 12; CUBOT NOTE 20)", "Dalvik|2|Android|12|phone")
	f("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/76.0.3809.146 TV Safari/537.36", "Chrome|76|Tizen|6|other")

	f("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot|2|||bot")
	f("Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot|2|Android|6|bot")
	f("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot|1|||bot")
	f("Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)", "MJ12bot|1|||bot")
	f("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36", "Headless Chrome||Linux||bot")
	f("curl/8.6.0", "curl|8|||bot")
	f("Wget/1.21.4", "Wget|1|||bot")
	f("python-requests/2.32.3", "python-requests|2|||bot")
	f("Go-http-client/2.0", "Go-http-client|2|||bot")
	f("kube-probe/1.29", "kube-probe|1|||bot")
	f("ELB-HealthChecker/2.0", "ELB-HealthChecker|2|||bot")
	f("Amazon CloudFront", "Amazon CloudFront||||bot")
	f("SomethingNew/1.0 (+https://example.com/crawler)", "Other||||bot")
	f("newspaper/0.2.5", "Other||||bot")
	f("Mozilla/5.0 (compatible; evc-batch/2.0)", "Other||||bot")

	f(strings.Repeat("x", 5000), "Other||||bot")
	f(agentChrome+strings.Repeat(" padding", 1000)+" Googlebot", "Chrome|126|Windows|10|desktop") // behind MaxAgent
}

// TestParseAgentLikeFilebeat compares with what Elastic's user_agent processor,
// which uses uap-core's regular expressions, says about the same headers.
func TestParseAgentLikeFilebeat(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "access-logs", "filebeat-modules"), "*", "*", "*-expected.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no expectations", err)
	}
	// Theirs to ours, where the names differ for the same thing.
	names := map[string]string{
		"Firefox Alpha": "Firefox", "Python Requests": "python-requests", "Mac OS X": "macOS", "Chrome Mobile": "Chrome", "Mobile Safari": "Safari",
	}
	headers := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var events []map[string]any
		if err := json.Unmarshal(text, &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			header, ok := e["user_agent.original"].(string)
			if !ok || headers[header] {
				continue
			}
			headers[header] = true
			a := ParseAgent(header)
			check := func(field, got string) {
				want, _ := e[field].(string)
				if n, ok := names[want]; ok {
					want = n
				}
				if want != "" && want != "Other" && got != want {
					t.Errorf("%s\n %s is %q, expected %q", header, field, got, want)
				}
			}
			check("user_agent.name", a.Family)
			if a.OS != "Linux" || e["user_agent.os.name"] != "Ubuntu" {
				check("user_agent.os.name", a.OS)
			}
			if v, _ := e["user_agent.version"].(string); v != "" {
				if major, _, _ := strings.Cut(v, "."); a.Major != major {
					t.Errorf("%s\n version is %q, expected %q", header, a.Major, major)
				}
			}
		}
	}
	if len(headers) < 15 {
		t.Errorf("only %d headers compared", len(headers))
	}
}

func TestAgentCache(t *testing.T) {
	var c AgentCache
	headers := []string{"", "-", agentChrome, agentIPhone, "curl/8.6.0", strings.Repeat("x", 5000)}
	for i := range 5000 { // more than there are slots
		headers = append(headers, "Tool"+word(uint64(i)*7919)+"/1."+word(uint64(i)))
	}
	for range 2 {
		for _, h := range headers {
			if got, want := *c.Parse(h), ParseAgent(h); got != want {
				t.Fatalf("%q is %+v in the cache and %+v without", h, got, want)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Parse(agentChrome); c.Parse(agentIPhone); c.Parse("") }); n > 0 {
		t.Errorf("%v allocations for headers in the cache, want none", n)
	}
	c.Parse(agentIPhone)
	b := []byte(agentIPhone)
	a := *c.Parse(string(b))
	clear(b)
	if a.Major != "17" || a.OSVersion != "17" {
		t.Errorf("%+v refers to the header given", a)
	}
}

func FuzzParseAgent(f *testing.F) {
	for _, h := range []string{"", agentChrome, agentIPhone, "Windows Phone", "Opera/9.80 (", "a(b;c)[d]http://x", "Android;", "Instagram 3"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := ParseAgent(header)
		if len(a.Family) > 40 || len(a.Major) > 5 || len(a.OSVersion) > 8 {
			t.Fatalf("%q is %+v: too long", header, a)
		}
		if a.Bot != (a.Device == DeviceBot) || a.Bot && a.Family == "" {
			t.Fatalf("%q is %+v: contradicts itself", header, a)
		}
	})
}

func BenchmarkAgent(b *testing.B) {
	headers := []string{agentChrome, agentIPhone, "curl/8.6.0", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
	b.Run("cached", func(b *testing.B) {
		var c AgentCache
		b.ReportAllocs()
		for i := range b.N {
			c.Parse(headers[i%len(headers)])
		}
	})
	b.Run("parsed", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			ParseAgent(headers[i%len(headers)])
		}
	})
}
