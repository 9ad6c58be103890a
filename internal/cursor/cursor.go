// Package cursor encodes where a page of events ended, for Stores whose pages go
// downwards by time and place in the queue.
package cursor

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/millrace/millrace"
)

// Encode returns the cursor of an event's time, in ns, and its place.
func Encode(time int64, partition int32, offset int64, ordinal int32) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(time))
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = binary.BigEndian.AppendUint32(b, uint32(ordinal))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Decode is the inverse of Encode. ErrInvalid: s is no cursor.
func Decode(s string) (time int64, partition int32, offset int64, ordinal int32, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 24 {
		return 0, 0, 0, 0, millrace.Errorf(millrace.ErrInvalid, "cursor: %.40q is not one this server gave out", s)
	}
	return int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[8:])),
		int64(binary.BigEndian.Uint64(b[12:])), int32(binary.BigEndian.Uint32(b[20:])), nil
}
