package transform

import (
	"strings"

	"github.com/mileusna/useragent"
)

// Device is the class of what sent a request.
type Device uint8

// The classes of device. DeviceOther is what none is known of: apps that name
// only their HTTP library, televisions, consoles, watches.
const (
	DeviceOther Device = iota
	DevicePhone
	DeviceTablet
	DeviceDesktop
	DeviceBot
)

var deviceNames = [...]string{"other", "phone", "tablet", "desktop", "bot"}

// String returns the name used in fields and filters.
func (d Device) String() string { return deviceNames[d] }

// MaxAgent is how many bytes of a User-Agent header are looked at. Those of real
// browsers are shorter than 300; apps' own go up to 500.
const MaxAgent = 1024

// OtherAgent is the family of what is not known. Families are a closed set, so
// that a client cannot make a dimension grow.
const OtherAgent = "Other"

// Agent is what a User-Agent header says. Its strings are constants and short
// versions, which refer to the header.
type Agent struct {
	Family    string // Chrome, Safari, Googlebot, curl, …; OtherAgent if not known, "" without header
	Major     string // major version, digits; "" if not known
	OS        string // Windows, macOS, iOS, Android, Linux, ChromeOS, …; "" if not known
	OSVersion string // as the vendor numbers releases: 10, 11.2 of old, 14; "" if not known
	Device    Device
	Bot       bool // crawlers, monitors, feed readers, command-line tools and script libraries
}

// ParseAgent reads a User-Agent header. It allocates and takes about 6 µs; use
// an AgentCache in a loop.
//
// mileusna/useragent finds browser and system, at a thousandth of the cost of
// uap-go's regular expressions. What it does not know is corrected here: bots
// and tools by words (agent_bots.go), browsers built on others and the shape of
// versions (agent_names.go). An app's HTTP library (okhttp, CFNetwork) is not a
// bot: there is a person behind it.
func ParseAgent(header string) Agent {
	header = strings.TrimSpace(header[:min(len(header), MaxAgent)])
	if header == "" || header == "-" {
		return Agent{}
	}
	lib := useragent.Parse(header)
	a := Agent{OS: osName(&lib, header), Family: OtherAgent}
	a.OSVersion = osVersion(a.OS, lib.OSVersion, header)
	known, isBot := botFamily(header, a.OS)
	a.Bot = isBot || lib.Bot
	switch {
	case a.Bot:
		a.Device = DeviceBot
		a.Family, a.Major = known, versionAfter(header, known)
		if known == "" {
			a.Family = OtherAgent
		}
		return a
	default:
		a.Family, a.Major = browserFamily(&lib, header)
	}
	a.Device = deviceOf(&a, &lib, header)
	return a
}

func deviceOf(a *Agent, lib *useragent.UserAgent, header string) Device {
	switch {
	case containsAny(header, "SmartTV", "SMART-TV", "Smart TV", "HbbTV", "AppleTV", "Apple TV", "GoogleTV", "Android TV",
		"BRAVIA", "CrKey", "Web0S", "NetCast", "Roku", "AFTT", "AFTS", "AFTM", "AFTB", "PlayStation", "Xbox", "Nintendo", "Watch"):
		return DeviceOther
	case lib.Tablet, strings.Contains(header, "Kindle"), strings.Contains(header, "PlayBook"):
		return DeviceTablet
	case a.OS == "Android":
		// Browsers of tablets leave "Mobile" out; apps and old ones do so on phones too.
		if strings.HasPrefix(header, "Mozilla/") && !containsAny(header, "Mobile", "mobile", "Opera M") {
			return DeviceTablet
		}
		return DevicePhone
	case lib.Mobile, a.OS == "iOS", a.OS == "Windows Phone", a.OS == "KaiOS",
		containsAny(header, "MIDP", "Mobile Safari", "Symbian", "IEMobile", "Opera Mini", "Opera Mobi"):
		return DevicePhone
	case lib.Desktop, a.OS == "Windows", a.OS == "macOS", a.OS == "Linux", a.OS == "ChromeOS", strings.HasSuffix(a.OS, "BSD"):
		return DeviceDesktop
	}
	return DeviceOther
}

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// versionAfter returns the digits of the major version behind a name, as in
// "Googlebot/2.1" or "curl 8".
func versionAfter(header, name string) string {
	if name == "" {
		return ""
	}
	i := indexFold(header, name)
	if i < 0 {
		return ""
	}
	rest := header[i+len(name):]
	rest = strings.TrimPrefix(strings.TrimLeft(rest, "/ :-_"), "v")
	return majorOf(rest)
}

// majorOf returns the digits that a version starts with, up to 5 of them.
func majorOf(version string) string {
	n := 0
	for n < len(version) && version[n] >= '0' && version[n] <= '9' {
		n++
	}
	if n > 5 {
		return ""
	}
	return version[:n]
}

// indexFold is strings.Index for ASCII without case; name must be ASCII.
func indexFold(s, name string) int {
	for i := 0; i+len(name) <= len(s); i++ {
		if s[i]|0x20 == name[0]|0x20 && strings.EqualFold(s[i:i+len(name)], name) {
			return i
		}
	}
	return -1
}
