package sketch

import (
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by every error about bytes that no encoder of this
// package produces: truncated, trailing, out of range or not canonical.
var ErrCorrupt = errors.New("sketch: corrupt encoding")

// ErrFormat is wrapped by errors about a first byte that names another kind of
// sketch or a version this package does not know.
var ErrFormat = errors.New("sketch: unknown kind or version")

// ErrQuantile is wrapped by errors about a quantile outside [0, 1].
var ErrQuantile = errors.New("sketch: quantile outside [0, 1]")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func badHeader(got byte, want string) error {
	return fmt.Errorf("%w: first byte 0x%02x is not %s", ErrFormat, got, want)
}
