package millrace

import (
	"crypto/sha256"
	"encoding/hex"
)

// IssueID returns the name of the issue that a key starts: 12 hexadecimal digits
// of SHA-256 over project, a zero byte and key. It is the same on all nodes, so
// that two which see a key first at the same time name one issue.
func IssueID(project, key string) string {
	h := sha256.New()
	h.Write([]byte(project))
	h.Write([]byte{0})
	h.Write([]byte(key))
	return hex.EncodeToString(h.Sum(nil)[:6])
}
