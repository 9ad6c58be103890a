package pipeline

import (
	"encoding/json"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// attrSentryFingerprint is where the decoder of Sentry's protocol files the
// fingerprint that a client gives an event: a list of texts.
const attrSentryFingerprint = "sentry.fingerprint"

// maxFingerprintParts bounds what is looked at of a client's fingerprint.
const maxFingerprintParts = 64

// customFingerprint returns the fingerprint by which an exception counts: what
// the client says, if it does, with {{ default }} for k's own, else that.
//
// Of Sentry's variables (docs.sentry.io, "SDK Fingerprinting", as of November
// 2026) {{ type }}, {{ value }}, {{ transaction }}, {{ level }}, {{ logger }} and
// {{ message }} are replaced, also as error.type and error.value; others stay as
// they are written, and so tell nothing apart.
func customFingerprint(e *millrace.Event, k *known) string {
	v, ok := e.Attr(attrSentryFingerprint)
	if !ok || v.Kind() != millrace.ValueJSON {
		return k.fingerprint
	}
	var list []any
	d := json.NewDecoder(strings.NewReader(v.String()))
	d.UseNumber()
	if d.Decode(&list) != nil {
		return k.fingerprint
	}
	parts := make([]string, 0, min(len(list), maxFingerprintParts))
	for _, p := range list[:cap(parts)] {
		switch p := p.(type) {
		case string:
			parts = append(parts, fingerprintPart(e, k, p))
		case json.Number:
			parts = append(parts, p.String())
		case bool:
			parts = append(parts, map[bool]string{true: "True", false: "False"}[p]) // as Sentry, in Python, writes it
		}
	}
	return exception.CustomFingerprint(parts, k.fingerprint)
}

// fingerprintPart replaces a variable.
func fingerprintPart(e *millrace.Event, k *known, part string) string {
	name, opens := strings.CutPrefix(strings.TrimSpace(part), "{{")
	name, closes := strings.CutSuffix(name, "}}")
	if !opens || !closes {
		return part
	}
	switch strings.TrimSpace(name) {
	case "type", "error.type":
		return k.kind
	case "value", "error.value":
		return k.message
	case "message":
		return e.Message
	case "level":
		return e.Level
	case "transaction", "logger":
		v, _ := e.Attr(strings.TrimSpace(name))
		return v.String()
	}
	return part
}
