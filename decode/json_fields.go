package decode

// slot is what a JSON field is read for. The slots up to slotWeight are columns
// of the event, the others canonical attributes of access logs.
type slot uint8

const (
	slotNone slot = iota
	slotTime
	slotMessage
	slotLevel
	slotService
	slotHost
	slotEnv
	slotRelease
	slotTrace
	slotKind
	slotWeight

	slotURL
	slotQuery
	slotMethod
	slotStatus
	slotBytes
	slotRT
	slotBackend
	slotClient
	slotReferer
	slotAgent
	slotVersion
	slotRequest
	slotUser
	slotDuration // a time taken whose unit depends on the writer
	slotCount

	slotStack  // a stack trace
	slotParent // an object to look into
)

// jsonField returns what a field is read for and its rank: of two fields for
// one slot the higher rank wins, and among equals the first. Dotted names are
// also those of nested fields ({"service":{"name":…}} is service.name).
func jsonField(key string) (slot, uint8) {
	switch key {
	case "@timestamp", "timestamp", "Timestamp", "@t":
		return slotTime, 9
	case "time", "ts", "datetime", "date_time", "eventTime", "event_time", "eventtime",
		"time_iso8601", "timestamp_ms", "__REALTIME_TIMESTAMP", "StartUTC", "start_time":
		return slotTime, 8
	case "t", "date", "time_local", "asctime", "msec", "EdgeStartTimestamp", "created", "instant":
		return slotTime, 7

	case "message", "msg":
		return slotMessage, 9
	case "@m", "short_message", "MESSAGE", "text", "log.message", "@message":
		return slotMessage, 8
	case "@mt", "MessageTemplate", "Body":
		return slotMessage, 7
	case "log":
		return slotMessage, 6
	case "event":
		return slotMessage, 5

	case "level", "log.level", "severity":
		return slotLevel, 9
	case "lvl", "loglevel", "log_level", "levelname", "level_name", "severity_text",
		"severityText", "SeverityText", "@l", "Level", "LEVEL":
		return slotLevel, 8
	case "PRIORITY":
		return slotLevel, 7

	case "service", "service.name", "service_name", "serviceName", "Resource.service.name":
		return slotService, 9
	case "app", "application", "app_name", "appname", "application_name", "SYSLOG_IDENTIFIER":
		return slotService, 8
	case "host", "hostname", "host.name", "host_name", "host.hostname", "Resource.host.name":
		return slotHost, 9
	case "http_host", "RequestHost", "request.host", "ClientRequestHost", "vhost", ":authority", "url.domain":
		return slotHost, 8
	case "server_name", "_HOSTNAME":
		return slotHost, 7
	case "env", "environment", "service.environment", "deployment.environment", "deployment.environment.name",
		"Resource.deployment.environment", "Resource.deployment.environment.name":
		return slotEnv, 9
	case "release", "app_version", "service.version", "appVersion", "Resource.service.version":
		return slotRelease, 9
	case "trace_id", "traceId", "trace.id", "traceID", "TraceId", "traceid", "dd.trace_id", "@tr":
		return slotTrace, 9
	case "kind":
		return slotKind, 9
	case "weight":
		return slotWeight, 9

	case "error", "err", "error.stack", "error.stack_trace", "err.stack", "exc_info", "exc_text",
		"stack_trace", "stacktrace", "stackTrace", "stack", "exception", "Exception", "@x",
		"traceback", "backtrace", "full_message", "exception.stacktrace", "error.stacktrace", "errorVerbose",
		"StackTrace", "_stacktrace", "thrown", "throwable":
		return stackField(key)
	case "trace", "http", "http.request", "http.response", "http.response.body",
		"client", "source", "user", "deployment",
		"Resource", "Resource.service", "Resource.host", "Resource.deployment":
		return slotParent, 0
	}
	return accessField(key)
}

// stackField sorts out the fields that hold a stack trace or lead to one.
func stackField(key string) (slot, uint8) {
	switch key {
	case "error", "err":
		return slotParent, 0
	}
	return slotStack, 0
}

// accessField covers the fields of access logs: nginx variables, ECS, and the
// JSON of Caddy, Traefik, Envoy and Cloudflare.
func accessField(key string) (slot, uint8) {
	switch key {
	case "url":
		return slotURL, 9
	case "request_uri", "uri", "url.original", "url.path", "request.uri", "RequestPath", "ClientRequestURI":
		return slotURL, 8
	case "path", "request_path":
		return slotURL, 7
	case "query", "query_string", "args", "url.query":
		return slotQuery, 9
	case "method":
		return slotMethod, 9
	case "request_method", "http_method", "http.request.method", "request.method",
		"RequestMethod", "ClientRequestMethod", "verb":
		return slotMethod, 8
	case "status":
		return slotStatus, 9
	case "status_code", "http_status", "http.response.status_code", "response_code",
		"response_status", "DownstreamStatus", "EdgeResponseStatus", "statusCode":
		return slotStatus, 8
	case "bytes":
		return slotBytes, 9
	case "body_bytes_sent", "http.response.body.bytes", "response_size",
		"DownstreamContentSize", "EdgeResponseBytes":
		return slotBytes, 8
	case "bytes_sent", "size":
		return slotBytes, 7
	case "rt":
		return slotRT, 9
	case "request_time":
		return slotRT, 8
	case "duration", "Duration":
		return slotDuration, 9
	case "rt_backend":
		return slotBackend, 9
	case "upstream_response_time":
		return slotBackend, 8
	case "client_ip":
		return slotClient, 9
	case "remote_addr", "client.ip", "source.ip", "request.client_ip", "ClientHost", "ClientIP":
		return slotClient, 8
	case "remote_ip", "clientip", "client.address", "source.address", "request.remote_ip",
		"downstream_remote_address":
		return slotClient, 7
	case "referer", "http_referer", "http.request.referrer", "referrer", "ClientRequestReferer":
		return slotReferer, 9
	case "user_agent", "http_user_agent", "user_agent.original", "userAgent", "agent", "ClientRequestUserAgent":
		return slotAgent, 9
	case "http_version", "server_protocol", "http.version", "protocol", "request.proto", "RequestProtocol":
		return slotVersion, 9
	case "request":
		return slotRequest, 9
	case "remote_user", "user.name":
		return slotUser, 9
	}
	return slotNone, 0
}

// isParent reports whether an object under this name is looked into for
// well-known fields although the name itself is that of a slot.
func isParent(s slot, key string) bool {
	switch s {
	case slotParent:
		return true
	case slotService, slotHost, slotURL, slotAgent, slotRequest:
		return key == "service" || key == "host" || key == "url" || key == "user_agent" || key == "request"
	case slotMessage:
		return key == "log"
	}
	return false
}
