//go:build !linux || !amd64

package chlib

import (
	"context"
	"io"
)

// Path returns the path of the library, for which there is none here.
func Path(context.Context, io.Writer) (string, error) { return "", ErrUnsupported }
