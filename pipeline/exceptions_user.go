package pipeline

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// userFields are where the user of an exception is looked for, the best first:
// an id, then a name, then an address or a device. What OpenTelemetry, ECS, Sentry and most
// applications call them.
var userFields = [...]string{
	"user.id", "user_id", "userId", "uid", "enduser.id", "enduser.pseudo.id", "user.email", "user.username", "user.name",
	"username", "user.ip_address", millrace.AttrClientIP, "device_id",
}

// nestedUserFields are the same within an object named user.
var nestedUserFields = [...]string{"id", "user_id", "uid", "email", "username", "name", "ip_address", "ip"}

// attrUserFields keeps an object that is named as the attribute for who was
// affected.
const attrUserFields = "user_fields"

// setUser tells who was affected by an exception in the attribute user, unless it
// is there: by the first of userFields, of the members of an object user, that
// the event has. An object becomes the attribute user_fields.
func setUser(b *millrace.Batch, e *millrace.Event) {
	var best millrace.Value
	rank := len(userFields)
	for i := range e.Attrs {
		at := &e.Attrs[i]
		if at.Key == millrace.AttrUser {
			if at.Value.Kind() != millrace.ValueJSON {
				return
			}
			at.Key = attrUserFields
			if v, ok := nestedUser(b, at.Value.String()); ok {
				best, rank = v, -1
			}
			continue
		}
		if n := len(at.Key); n < len("uid") || n > len("enduser.pseudo.id") || at.Key[0] != 'u' && at.Key[0] != 'c' && at.Key[0] != 'e' && at.Key[0] != 'd' {
			continue
		}
		for r := range min(max(rank, 0), len(userFields)) {
			if userFields[r] == at.Key && namesUser(at.Value) {
				best, rank = at.Value, r
				break
			}
		}
	}
	if rank < len(userFields) {
		b.Grow(e, 1)
		e.Set(millrace.AttrUser, best)
	}
}

// namesUser reports whether a value may be somebody.
func namesUser(v millrace.Value) bool {
	switch v.Kind() {
	case millrace.ValueInt, millrace.ValueFloat:
		return true
	case millrace.ValueString:
		return v.String() != "" && v.String() != "-"
	}
	return false
}

// nestedUser returns who an object names: by the first of nestedUserFields that is
// a text or a number. Escaped texts are written to the batch's memory.
//
// Many clients send an object with every event.
func nestedUser(b *millrace.Batch, object string) (millrace.Value, bool) {
	var texts [len(nestedUserFields)]string
	decode.MemberTexts(b, object, nestedUserFields[:], texts[:])
	for _, text := range texts {
		if text != "" {
			return millrace.StringValue(text), true
		}
	}
	return millrace.Value{}, false
}
