package clickhouse

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace"
)

// Numbers of ClickHouse's errors (src/Common/ErrorCodes.cpp).
const (
	codeCannotWrite       = 75
	codeUnknownDatabase   = 81
	codeTooManyRows       = 158
	codeTimeout           = 159
	codeReadonly          = 164
	codeNoCluster         = 701
	codeUnknownUser       = 192
	codeWrongPassword     = 193
	codeTooManyQueries    = 202
	codeSocketTimeout     = 209
	codeNetwork           = 210
	codeNoKeeper          = 225
	codeMemory            = 241
	codeReadOnlyTable     = 242
	codeNoSpace           = 243
	codeCorrupted         = 246
	codeTooManyParts      = 252
	codeNoConnection      = 279
	codeTooFewReplicas    = 285
	codePreviousQuorum    = 286
	codeTooManyBytes      = 307
	codeUnknownInsert     = 319
	codeCancelled         = 394
	codeTooManyRowsBytes  = 396
	codeUnknownPolicy     = 478
	codeAccessDenied      = 497
	codeAuthentication    = 516
	codeKeeper            = 999
	codeChecksum          = 40
	codeUnknownVolume     = 450
	codeTooSlow           = 160
	codeQuotaExceeded     = 201
	codeSettingConstraint = 452
)

// explanation is what a user is told of an error of the server.
type explanation struct {
	code          millrace.Code
	message, hint string
}

var explanations = map[int32]explanation{
	codeAuthentication:    {millrace.ErrUnauthorized, "ClickHouse refuses the user or password", "check user and password in the store's address"},
	codeUnknownUser:       {millrace.ErrUnauthorized, "ClickHouse does not know the user", "check the user in the store's address, or create it"},
	codeWrongPassword:     {millrace.ErrUnauthorized, "ClickHouse refuses the password", "check the password in the store's address"},
	codeUnknownDatabase:   {millrace.ErrNotFound, "ClickHouse has no such database", "create it (CREATE DATABASE name, in a cluster ON CLUSTER), or correct the store's address"},
	codeNoCluster:         {millrace.ErrNotFound, "ClickHouse has no such cluster", "name a cluster of system.clusters in the store's address, or leave cluster= out"},
	codeAccessDenied:      {millrace.ErrForbidden, "the user lacks rights", "grant it SELECT, INSERT, ALTER, CREATE, DROP and TRUNCATE on the database, and CLUSTER in a cluster"},
	codeReadonly:          {millrace.ErrForbidden, "the user may only read, or may not change settings", "use a user whose profile does not set readonly"},
	codeSettingConstraint: {millrace.ErrForbidden, "the user's profile forbids a setting that is needed", "allow the settings that the error names in the user's profile"},
	codeReadOnlyTable:     {millrace.ErrUnavailable, "the replica is read-only", "it has lost ClickHouse Keeper or its own metadata: look at system.replicas, then SYSTEM RESTART REPLICA or SYSTEM RESTORE REPLICA; writing resumes by itself"},
	codeNoKeeper:          {millrace.ErrUnavailable, "ClickHouse has no Keeper", "check the section zookeeper of the server's configuration and that Keeper runs"},
	codeKeeper:            {millrace.ErrUnavailable, "ClickHouse cannot reach its Keeper", "check that a majority of the Keepers runs; writing resumes by itself"},
	codeTooFewReplicas:    {millrace.ErrUnavailable, "too few replicas take part", "start the replicas that are down; writing resumes by itself"},
	codePreviousQuorum:    {millrace.ErrUnavailable, "an earlier insertion has not reached enough replicas yet", "start the replicas that are down; writing resumes by itself"},
	codeUnknownInsert:     {millrace.ErrUnavailable, "whether an insertion succeeded is not known", "nothing: its rows are hidden and inserted anew"},
	codeMemory:            {millrace.ErrUnavailable, "ClickHouse is out of memory", "raise max_server_memory_usage or max_memory_usage, or run fewer queries at once"},
	codeNoSpace:           {millrace.ErrUnavailable, diskFull, diskHint},
	codeTooManyParts:      {millrace.ErrUnavailable, "ClickHouse cannot merge as fast as rows come", "use fewer or larger flushes, or more shards; writing resumes by itself"},
	codeTooManyQueries:    {millrace.ErrUnavailable, "ClickHouse runs too many queries", "raise max_concurrent_queries or lower connections"},
	codeQuotaExceeded:     {millrace.ErrUnavailable, "the user's quota is used up", "raise the quota of the user, or use one without"},
	codeTimeout:           {millrace.ErrTimeout, "ClickHouse took longer than the time limit", ""},
	codeTooSlow:           {millrace.ErrTimeout, "ClickHouse expects to take longer than the time limit", ""},
	codeSocketTimeout:     {millrace.ErrUnavailable, "a server of ClickHouse did not answer in time", "check the network between the servers"},
	codeNetwork:           {millrace.ErrUnavailable, "a server of ClickHouse cannot be reached", "check the network between the servers"},
	codeNoConnection:      {millrace.ErrUnavailable, "no server of a shard can be reached", "start the servers of the shard, or check the cluster's definition"},
	codeCancelled:         {millrace.ErrUnavailable, "the statement was cancelled on the server", ""},
	codeTooManyRows:       {millrace.ErrTooLarge, "the query reads or returns too many rows", "ask for less: a shorter time, fewer columns, or an aggregate"},
	codeTooManyBytes:      {millrace.ErrTooLarge, "the query reads too many bytes", "ask for less: a shorter time or fewer columns"},
	codeTooManyRowsBytes:  {millrace.ErrTooLarge, "the answer is too large", "use LIMIT or an aggregate"},
	codeUnknownPolicy:     {millrace.ErrNotFound, "ClickHouse has no such storage policy", "define it in storage_configuration of every server, or correct storage.policy"},
	codeUnknownVolume:     {millrace.ErrNotFound, "the storage policy has no such volume", "correct storage.warm_volume and storage.cold_volume, or add the volumes to the policy on every server"},
	codeChecksum:          {millrace.ErrCorrupt, "ClickHouse has found damaged data", "see the server's log; restore the part from a replica or a backup"},
	codeCorrupted:         {millrace.ErrCorrupt, "ClickHouse has found damaged data", "see the server's log; restore the part from a replica or a backup"},
}

const (
	diskFull = "the disk of ClickHouse is full"
	diskHint = "free space on the server or shorten the retention; writing resumes by itself"
)

const slowHint = "is the server overloaded, or the way to it cut? Port and protocol must fit together (9000 is native, 8123 is HTTP)"

// wrap gives an error of the driver or the server its code, and a hint where one
// helps.
func wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return err // it says what it is about
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without a line of parameters
	}
	e := &millrace.Error{Op: op, Err: err}
	if x, ok := errors.AsType[*ch.Exception](err); ok {
		known, ok := explanations[x.Code]
		if strings.Contains(x.Message, "No space left on device") || x.Code == codeCannotWrite {
			known, ok = explanations[codeNoSpace], true
		}
		if !ok {
			known = explanation{millrace.ErrInternal, "ClickHouse failed", ""}
		}
		e.Code, e.Message, e.Hint = known.code, known.message, known.hint
		return e
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.Code, e.Message = millrace.ErrUnavailable, "the request was cancelled"
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message, e.Hint = millrace.ErrTimeout, "ClickHouse took longer than the time limit", slowHint
	case errors.Is(err, ch.ErrUnsupportedServerRevision):
		e.Code, e.Message, e.Hint = millrace.ErrConflict, "the server's version is not supported", versionHint
	case misled(e, err):
	default:
		e.Code, e.Message = millrace.ErrUnavailable, "ClickHouse cannot be reached"
		e.Hint = "check that the servers of the store's address run, and that port and protocol fit together (9000 is native, 8123 is HTTP)"
	}
	return e
}

// final is an error that trying again does not help, whatever it is.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// passing reports whether an error may be gone in a moment: no server answered,
// or one that is busy or starting.
func passing(err error) bool {
	if _, ok := errors.AsType[final](err); ok {
		return false
	}
	if _, ok := errors.AsType[*millrace.Error](err); ok {
		return false
	}
	if x, ok := errors.AsType[*ch.Exception](err); ok {
		switch x.Code {
		case codeTooManyQueries, codeSocketTimeout, codeNetwork, codeNoKeeper, codeNoConnection, codeKeeper, codeReadOnlyTable, codeTooFewReplicas:
			return true
		}
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, ch.ErrUnsupportedServerRevision)
}

// Bounds of the pause before a statement is tried again; it doubles.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// retry runs f, again after passing errors while Options.Retry lasts, and gives its
// error a code. f must be something that may happen twice.
func (db *DB) retry(ctx context.Context, op string, f func() error) error {
	started := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f()
		if err == nil {
			return nil
		}
		if !passing(err) || ctx.Err() != nil || time.Since(started)+pause >= db.opt.Retry.Std() {
			if last, ok := errors.AsType[final](err); ok {
				err = last.error
			}
			return wrap(ctx, op, err)
		}
		// Spread, so that the nodes do not all come back at the same moment.
		wait := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return wrap(ctx, op, ctx.Err())
		}
	}
}
