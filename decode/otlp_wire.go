package decode

import "encoding/binary"

// Tags of protobuf's wire format: the field's number, and how it is encoded. A
// field in another encoding than its own has another tag.
const (
	wireNumber  = 0 // varint
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// nextField reads the field at i: its tag, the number or the bytes it holds, and
// where the next one begins, which is negative if the field is not well-formed.
// Groups, which proto3 does not have, are not.
func nextField(b []byte, i int) (tag, n uint64, data []byte, next int) {
	if i < len(b) && b[i] < 0x80 { // all fields that are known
		tag = uint64(b[i])
		i++
	} else if tag, i = wireVarint(b, i); i < 0 {
		return 0, 0, nil, -1
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return tag, 0, nil, -1
	}
	switch tag & 7 {
	case wireBytes:
		if i < len(b) && b[i] < 0x80 && i+1+int(b[i]) <= len(b) { // most
			end := i + 1 + int(b[i])
			return tag, uint64(b[i]), b[i+1 : end : end], end
		}
		if n, i = wireVarint(b, i); i < 0 || n > uint64(len(b)-i) {
			return tag, 0, nil, -1
		}
		end := i + int(n)
		return tag, n, b[i:end:end], end
	case wireNumber:
		n, i = wireVarint(b, i)
		return tag, n, nil, i
	case wireFixed64:
		if len(b)-i >= 8 {
			return tag, binary.LittleEndian.Uint64(b[i:]), nil, i + 8
		}
	case wireFixed32:
		if len(b)-i >= 4 {
			return tag, uint64(binary.LittleEndian.Uint32(b[i:])), nil, i + 4
		}
	}
	return tag, 0, nil, -1
}
