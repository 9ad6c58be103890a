package queue

import (
	"fmt"
	"os"
	"strings"

	"github.com/millrace/millrace"
)

// Secret says where a secret is kept: "env:NAME" or "file:PATH". The secret
// itself never stands in a configuration, so that neither the file nor what is
// printed of it gives anything away.
type Secret string

const secretForms = "env:NAME or file:PATH (the place of the secret, not the secret itself)"

// place takes a reference apart.
func (s Secret) place() (kind, name string, ok bool) {
	kind, name, ok = strings.Cut(string(s), ":")
	return kind, name, ok && name != "" && (kind == "env" || kind == "file")
}

// String returns the reference, or a mask if it is none and so perhaps the
// secret itself.
func (s Secret) String() string {
	if _, _, ok := s.place(); !ok && s != "" {
		return "(hidden)"
	}
	return string(s)
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

func (s Secret) validate(path string, v *millrace.Violations) {
	if _, _, ok := s.place(); !ok && s != "" {
		v.Add(path, s, secretForms)
	}
}

// read returns the secret as it is now; a file is read each time, so that what
// rotates it needs no restart. White space around it is not a part of it.
func (s Secret) read() (string, error) {
	kind, name, ok := s.place()
	if !ok {
		return "", millrace.Errorf(millrace.ErrInvalid, "%s: must be %s", s, secretForms)
	}
	var text string
	if kind == "env" {
		text = os.Getenv(name)
	} else {
		b, err := os.ReadFile(name)
		if err != nil {
			return "", &millrace.Error{
				Code: millrace.ErrUnavailable, Err: err, Message: "the secret " + s.String() + " cannot be read",
				Hint: "check that the file is there and readable by the user millrace runs as",
			}
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", &millrace.Error{
			Code: millrace.ErrUnavailable, Message: "the secret " + s.String() + " is empty",
			Hint: "set the environment variable, or write the secret to the file",
		}
	}
	return text, nil
}
