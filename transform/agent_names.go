package transform

import (
	"strings"

	"github.com/mileusna/useragent"
)

// agentNames are browsers and apps by the word that tells them, those built on
// others before these. Where there is a version it follows the word.
var agentNames = []struct{ word, family string }{
	{"Trident/7.", "Internet Explorer"}, // 11 no longer says MSIE
	{"IEMobile", "Internet Explorer"},
	{"MicroMessenger/", "WeChat"},
	{"DuckDuckGo/", "DuckDuckGo"},
	{"Ddg/", "DuckDuckGo"},
	{"YaBrowser/", "Yandex Browser"},
	{"UCBrowser/", "UC Browser"},
	{"UBrowser/", "UC Browser"},
	{"MQQBrowser/", "QQ Browser"},
	{"QQBrowser/", "QQ Browser"},
	{"MiuiBrowser/", "Miui Browser"},
	{"HuaweiBrowser/", "Huawei Browser"},
	{"HeyTapBrowser/", "HeyTap Browser"},
	{"VivoBrowser/", "Vivo Browser"},
	{"SamsungBrowser/", "Samsung Browser"},
	{"OculusBrowser/", "Oculus Browser"},
	{"Whale/", "Whale"},
	{"coc_coc_browser/", "Coc Coc"},
	{"Puffin/", "Puffin"},
	{"Maxthon", "Maxthon"},
	{"Silk/", "Amazon Silk"},
	{"GSA/", "Google App"},
	{"FBAV/", "Facebook App"},
	{"FBAN/", "Facebook App"},
	{"Instagram ", "Instagram App"},
	{"BytedanceWebview/", "TikTok App"},
	{"musical_ly", "TikTok App"},
	{"trill_", "TikTok App"},
	{"Snapchat/", "Snapchat"},
	{"Pinterest/", "Pinterest App"},
	{"LinkedInApp", "LinkedIn App"},
	{"Line/", "Line"},
	{"Brave/", "Brave"},
	{"Vivaldi/", "Vivaldi"},
	{"PaleMoon/", "Pale Moon"},
	{"SeaMonkey/", "SeaMonkey"},
	{"Thunderbird/", "Thunderbird"},
	{"Focus/", "Firefox Focus"},
	{"Klar/", "Firefox Focus"},
	{"Slack_SSB/", "Slack"},
	{"Electron/", "Electron"},
	{"Konqueror/", "Konqueror"},
	{"Chromium/", "Chromium"},
	{"Opera Mini/", "Opera Mini"},
	{"EdgiOS/", "Edge"},
	{"EdgA/", "Edge"},
	{"Edg/", "Edge"},
	{"Edge/", "Edge"},
	{"OPR/", "Opera"},
	{"OPiOS/", "Opera"},
	{"OPT/", "Opera Touch"},
	{"CriOS/", "Chrome"},
	{"FxiOS/", "Firefox"},
	{"Firefox/", "Firefox"},
	{"Chrome/", "Chrome"},
	{"CFNetwork/", "CFNetwork"},
	{"okhttp/", "okhttp"},
	{"Dalvik/", "Dalvik"},
	{"Dart/", "Dart"},
	{"Alamofire/", "Alamofire"},
}

// libraryNames are families that the library tells and agentNames does not.
var libraryNames = map[string]string{
	useragent.InternetExplorer: "Internet Explorer",
	useragent.Safari:           "Safari",
	useragent.Opera:            "Opera",
	useragent.NetFront:         "NetFront",
	useragent.BlackBerry:       "BlackBerry",
	"Android browser":          "Android Browser",
}

// browserFamily returns the family and major version of what is no bot.
func browserFamily(lib *useragent.UserAgent, header string) (family, major string) {
	for _, n := range agentNames {
		i := strings.Index(header, n.word)
		if i < 0 {
			continue
		}
		switch n.word {
		case "Trident/7.":
			if strings.Contains(header, "MSIE") {
				continue
			}
			return n.family, versionAfter(header, "rv")
		case "Line/": // not the end of another word
			if i > 0 && header[i-1] != ' ' {
				continue
			}
		case "FBAN/":
			return n.family, versionAfter(header, "FBAV")
		}
		return n.family, majorOf(strings.TrimLeft(header[i+len(n.word):], "/ "))
	}
	family, ok := libraryNames[lib.Name]
	if !ok {
		if strings.Contains(header, "AppleWebKit/") && strings.Contains(header, "Mobile/") {
			return "iOS WebView", "" // a page within an app
		}
		return OtherAgent, ""
	}
	major = majorOf(lib.Version)
	switch family {
	case "Opera": // from 10 on the version stands apart: Opera/9.80 (…) Version/12.16
		if v := versionAfter(header, "Version"); v != "" {
			major = v
		}
	case "Safari":
		if v := versionAfter(header, "Version"); v != "" {
			major = v
		} else {
			major = "" // otherwise it is the number of WebKit's build
		}
		if lib.OS == useragent.Android {
			family = "Android Browser"
		}
	}
	return family, major
}

var osWords = []struct{ word, name string }{
	{"Windows Phone", "Windows Phone"},
	{"Silk", "Android"}, // Kindles leave Android out
	{"KAIOS", "KaiOS"},
	{"HarmonyOS", "HarmonyOS"},
	{"OpenHarmony", "HarmonyOS"},
	{"Tizen", "Tizen"},
	{"Web0S", "webOS"},
	{"PlayStation", "PlayStation"},
	{"AppleTV", "tvOS"},
	{"CrOS", "ChromeOS"},
	{"Android", "Android"},
	{"iPhone", "iOS"},
	{"iPad", "iOS"},
	{"iPod", "iOS"},
	{"Windows", "Windows"},
	{"Macintosh", "macOS"},
	{"Mac OS X", "macOS"},
	{"Darwin", "iOS"}, // apps by CFNetwork; Macs' also say so, but are few
	{"FreeBSD", "FreeBSD"},
	{"OpenBSD", "OpenBSD"},
	{"NetBSD", "NetBSD"},
	{"BlackBerry", "BlackBerry"},
	{"BB10", "BlackBerry"},
	{"Symbian", "Symbian"},
	{"Linux", "Linux"},
	{"linux", "Linux"},
}

func osName(lib *useragent.UserAgent, header string) string {
	for _, w := range osWords {
		if strings.Contains(header, w.word) {
			return w.name
		}
	}
	if len(lib.OS) > 0 {
		for _, w := range osWords {
			if w.name == lib.OS {
				return w.name
			}
		}
	}
	return ""
}

var windowsReleases = map[string]string{
	"10.0": "10", "6.3": "8.1", "6.2": "8", "6.1": "7", "6.0": "Vista", "5.2": "XP", "5.1": "XP", "5.0": "2000", "5.01": "2000",
}

// osVersion returns a release as its vendor names it: one number, of macOS 10
// two. It is "" for systems whose header states a kernel or a processor.
func osVersion(os, version, header string) string {
	switch os {
	case "Windows":
		return windowsReleases[version]
	case "macOS":
		version = strings.ReplaceAll(version, "_", ".")
		if rest, ok := strings.CutPrefix(version, "10."); ok && majorOf(rest) != "" {
			return "10." + majorOf(rest)
		}
		return majorOf(version)
	case "Android", "HarmonyOS", "Tizen", "KaiOS":
		if v := versionAfter(header, os); v != "" {
			return v
		}
		return majorOf(version)
	case "iOS":
		for _, word := range []string{"iPhone OS", "CPU OS", "iOS"} {
			if v := versionAfter(header, word); v != "" {
				return v
			}
		}
		return ""
	case "Windows Phone":
		return majorOf(strings.TrimPrefix(header[strings.Index(header, os)+len(os):], " "))
	}
	return ""
}
