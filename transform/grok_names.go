package transform

// grokPatterns are the names of Logstash's grok filter
// (logstash-plugins/logstash-patterns-core, patterns/legacy/grok-patterns),
// written anew for RE2, which has neither lookaround nor atomic groups: what
// those kept from matching in odd places is left to the pattern around. The log
// patterns at the end name the fields as millrace does.
var grokPatterns = map[string]string{
	// Numbers and words.
	"USERNAME":       `[a-zA-Z0-9._-]+`,
	"USER":           `%{USERNAME}`,
	"EMAILLOCALPART": "[a-zA-Z0-9!#$%&'*+\\-/=?^_`{|}~]+(?:\\.[a-zA-Z0-9!#$%&'*+\\-/=?^_`{|}~]+)*",
	"EMAILADDRESS":   `%{EMAILLOCALPART}@%{HOSTNAME}`,
	"INT":            `[+-]?[0-9]+`,
	"BASE10NUM":      `[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)`,
	"NUMBER":         `%{BASE10NUM}`,
	"BASE16NUM":      `[+-]?(?:0x)?[0-9A-Fa-f]+`,
	"BASE16FLOAT":    `\b[+-]?(?:0x)?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)\b`,
	"POSINT":         `\b[1-9][0-9]*\b`,
	"NONNEGINT":      `\b[0-9]+\b`,
	"WORD":           `\b\w+\b`,
	"NOTSPACE":       `\S+`,
	"SPACE":          `\s*`,
	"DATA":           `.*?`,
	"GREEDYDATA":     `.*`,
	"QUOTEDSTRING":   "(?:\"(?:\\\\.|[^\\\\\"])*\"|'(?:\\\\.|[^\\\\'])*'|`(?:\\\\.|[^\\\\`])*`)",
	"QS":             `%{QUOTEDSTRING}`,
	"UUID":           `[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}`,
	"URN":            `urn:[0-9A-Za-z][0-9A-Za-z-]{0,31}:(?:%[0-9a-fA-F]{2}|[0-9A-Za-z()+,.:=@;$_!*'/?#-])+`,

	// Networking.
	"MAC":        `(?:%{CISCOMAC}|%{WINDOWSMAC}|%{COMMONMAC})`,
	"CISCOMAC":   `(?:[A-Fa-f0-9]{4}\.){2}[A-Fa-f0-9]{4}`,
	"WINDOWSMAC": `(?:[A-Fa-f0-9]{2}-){5}[A-Fa-f0-9]{2}`,
	"COMMONMAC":  `(?:[A-Fa-f0-9]{2}:){5}[A-Fa-f0-9]{2}`,
	"IPV6":       `(?:[0-9A-Fa-f]{0,4}:){2,7}(?:%{IPV4}|[0-9A-Fa-f]{0,4})(?:%\w+)?`,
	"IPV4":       `(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])`,
	"IP":         `(?:%{IPV6}|%{IPV4})`,
	"HOSTNAME":   `\b[0-9A-Za-z][0-9A-Za-z-]*(?:\.[0-9A-Za-z][0-9A-Za-z-]*)*\.?`,
	"HOST":       `%{HOSTNAME}`,
	"IPORHOST":   `(?:%{IP}|%{HOSTNAME})`,
	"HOSTPORT":   `%{IPORHOST}:%{POSINT}`,

	// Paths and URIs.
	"PATH":         `(?:%{UNIXPATH}|%{WINPATH})`,
	"UNIXPATH":     `(?:/[\w_%!$@:.,+~-]*)+`,
	"TTY":          `/dev/(?:pts|tty(?:[pq])?)(?:\w+)?/?(?:[0-9]+)`,
	"WINPATH":      `(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+`,
	"URIPROTO":     `[A-Za-z][A-Za-z0-9+\-.]+`,
	"URIHOST":      `%{IPORHOST}(?::%{POSINT})?`,
	"URIPATH":      `(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_\-]*)+`,
	"URIQUERY":     `[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*`,
	"URIPARAM":     `\?%{URIQUERY}`,
	"URIPATHPARAM": `%{URIPATH}(?:\?%{URIQUERY})?`,
	"URI":          `%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?`,

	// Dates and times.
	"MONTH":              `\b(?:[Jj]an(?:uary|uar)?|[Ff]eb(?:ruary|ruar)?|[Mm](?:a|ä)?r(?:ch|z)?|[Aa]pr(?:il)?|[Mm]a(?:y|i)?|[Jj]un(?:e|i)?|[Jj]ul(?:y|i)?|[Aa]ug(?:ust)?|[Ss]ep(?:tember)?|[Oo](?:c|k)?t(?:ober)?|[Nn]ov(?:ember)?|[Dd]e(?:c|z)(?:ember)?)\b`,
	"MONTHNUM":           `(?:0[1-9]|1[0-2]|[1-9])`,
	"MONTHNUM2":          `(?:0[1-9]|1[0-2])`,
	"MONTHDAY":           `(?:(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9])`,
	"DAY":                `(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)`,
	"YEAR":               `(?:\d\d){1,2}`,
	"HOUR":               `(?:2[0123]|[01]?[0-9])`,
	"MINUTE":             `(?:[0-5][0-9])`,
	"SECOND":             `(?:(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?)`,
	"TIME":               `%{HOUR}:%{MINUTE}(?::%{SECOND})?`,
	"DATE_US":            `%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}`,
	"DATE_EU":            `%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}`,
	"ISO8601_TIMEZONE":   `(?:Z|[+-]%{HOUR}(?::?%{MINUTE}))`,
	"ISO8601_SECOND":     `%{SECOND}`,
	"TIMESTAMP_ISO8601":  `%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?%{ISO8601_TIMEZONE}?`,
	"DATE":               `(?:%{DATE_US}|%{DATE_EU})`,
	"DATESTAMP":          `%{DATE}[- ]%{TIME}`,
	"TZ":                 `(?:[APMCE][SD]T|UTC)`,
	"DATESTAMP_RFC822":   `%{DAY} %{MONTH} %{MONTHDAY} %{YEAR} %{TIME} %{TZ}`,
	"DATESTAMP_RFC2822":  `%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}`,
	"DATESTAMP_OTHER":    `%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{TZ} %{YEAR}`,
	"DATESTAMP_EVENTLOG": `%{YEAR}%{MONTHNUM2}%{MONTHDAY}%{HOUR}%{MINUTE}%{SECOND}`,
	"HTTPDERROR_DATE":    `%{DAY} %{MONTH} %{MONTHDAY} %{TIME} %{YEAR}`,
	"HTTPDATE":           `%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}`,
	"SYSLOGTIMESTAMP":    `%{MONTH} +%{MONTHDAY} %{TIME}`,

	// Words of logs.
	"LOGLEVEL":       `(?:[Aa]lert|ALERT|[Tt]race|TRACE|[Dd]ebug|DEBUG|[Nn]otice|NOTICE|[Ii]nfo?(?:rmation)?|INFO?(?:RMATION)?|[Ww]arn?(?:ing)?|WARN?(?:ING)?|[Ee]rr?(?:or)?|ERR?(?:OR)?|[Cc]rit?(?:ical)?|CRIT?(?:ICAL)?|[Ff]atal|FATAL|[Ss]evere|SEVERE|EMERG(?:ENCY)?|[Ee]merg(?:ency)?)`,
	"PROG":           `[\x21-\x5a\x5c\x5e-\x7e]+`,
	"SYSLOGPROG":     `%{PROG:program}(?:\[%{POSINT:pid:int}\])?`,
	"SYSLOGHOST":     `%{IPORHOST}`,
	"SYSLOGFACILITY": `<%{NONNEGINT:facility}\.%{NONNEGINT:priority}>`,
	"JAVACLASS":      `(?:[a-zA-Z$_][a-zA-Z$_0-9]*\.)*[a-zA-Z$_][a-zA-Z$_0-9]*`,
	"JAVAFILE":       `(?:[a-zA-Z$_0-9. -]+)`,
	"JAVAMETHOD":     `(?:<init>|<clinit>|[a-zA-Z$_][a-zA-Z$_0-9]*)`,
	"JAVALOGMESSAGE": `.*`,
	"THREADNAME":     `[^\]]+`,

	"JAVASTACKTRACEPART": `\s*at\s+%{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line:int})?\)`,
	"CATALINA_DATESTAMP": `%{MONTH} %{MONTHDAY}, %{YEAR} %{HOUR}:?%{MINUTE}(?::?%{SECOND}) (?:AM|PM)`,
	"TOMCAT_DATESTAMP":   `%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:?%{MINUTE}(?::?%{SECOND}) %{ISO8601_TIMEZONE}`,
	"REDISTIMESTAMP":     `%{MONTHDAY} %{MONTH} %{TIME}`,

	// Whole lines, with the names of millrace's fields. Those of web servers name
	// what ends a field rather than check it, which costs a fifth.
	"SYSLOGBASE":        `%{SYSLOGTIMESTAMP:time} (?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:host} %{SYSLOGPROG}:`,
	"SYSLOGLINE":        `%{SYSLOGBASE} %{GREEDYDATA:text}`,
	"HTTPDUSER":         `(?:%{EMAILADDRESS}|%{USER})`,
	"HTTPDWORD":         `(?:[^\s-]\S*|-\S+)`,
	"HTTPDTIME":         `[^\]]+`,
	"STATUS":            `\d+`,
	"SIZE":              `\d+`,
	"HTTPREQUEST":       `(?:%{METHOD:method} %{URLPATH:url}(?:\?%{URLQUERY:query})?(?: HTTP/%{HTTPVERSION:http_version})?|%{QUOTEDTEXT:request})`,
	"METHOD":            `[A-Za-z]+`,
	"URLPATH":           `[^\s?"]+`,
	"URLQUERY":          `[^\s"]*`,
	"HTTPVERSION":       `[0-9.]+`,
	"COMMONAPACHELOG":   `%{NOTSPACE:client_ip} (?:-|%{HTTPDWORD:ident}) (?:-|%{HTTPDWORD:user}) \[%{HTTPDTIME:time}\] "%{HTTPREQUEST}" %{STATUS:status:int} (?:%{SIZE:bytes:int}|-)`,
	"COMBINEDAPACHELOG": `%{COMMONAPACHELOG} "(?:-|%{QUOTEDTEXT:referer})" "(?:-|%{QUOTEDTEXT:user_agent})"`,
	"QUOTEDTEXT":        `(?:\\.|[^\\"])*`,
	"HTTPD20_ERRORLOG":  `\[%{HTTPDERROR_DATE:time}\] \[%{LOGLEVEL:level}\] (?:\[client %{IPORHOST:client_ip}\] )?%{GREEDYDATA:text}`,
	"HTTPD24_ERRORLOG":  `\[%{HTTPDERROR_DATE:time}\] \[(?:%{WORD:module})?:%{LOGLEVEL:level}\] \[pid %{POSINT:pid:int}(?::tid %{NUMBER:tid:int})?\](?: \(%{POSINT:proxy_errorcode}\)%{DATA:proxy_message}:)?(?: \[client %{IPORHOST:client_ip}(?::%{POSINT:client_port:int})?\])?(?: %{ERRORCODE:errorcode}:)? %{GREEDYDATA:text}`,
	"ERRORCODE":         `AH\d{5}`,
	"HTTPD_ERRORLOG":    `(?:%{HTTPD20_ERRORLOG}|%{HTTPD24_ERRORLOG})`,
}

// GrokNames returns the standard grok patterns by name.
func GrokNames() map[string]string {
	out := make(map[string]string, len(grokPatterns))
	for name, p := range grokPatterns {
		out[name] = p
	}
	return out
}
