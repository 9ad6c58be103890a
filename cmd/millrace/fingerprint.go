package main

import (
	"context"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// fingerprintSecret is the secret that keeps the version of the fingerprint.
const fingerprintSecret = "fingerprint-version"

// fingerprintVersion returns the version by which exceptions are told apart, which
// never changes: cells are keyed by it. A store that has seen events before anybody
// wrote it down has those of version 1.
func (s *server) fingerprintVersion(ctx context.Context) (int, error) {
	positions, err := s.store.Positions(ctx)
	if err != nil {
		return 0, err
	}
	fresh := exception.LatestVersion
	for _, p := range positions {
		if len(p) > 0 {
			fresh = 1
		}
	}
	text, err := s.meta.Secret(ctx, fingerprintSecret, []byte(strconv.Itoa(fresh)))
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(string(text))
	if err != nil || version < 1 || version > exception.LatestVersion {
		return 0, &millrace.Error{
			Code:    millrace.ErrInvalid,
			Message: "exceptions are told apart by version " + strconv.Quote(string(text)) + " of the fingerprint, which this millrace does not have",
			Hint:    "start the millrace that wrote these data, or a newer one",
		}
	}
	return version, nil
}
