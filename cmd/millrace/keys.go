package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/meta"
)

// keysCmd manages keys: over HTTP with an admin token, or with --data in the
// data directory itself, which needs none and works whether or not a server
// runs there (it then notices within a second).
type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key and print it, once."`
	List   keysListCmd   `cmd:"" help:"List keys with their limits and what came with them today."`
	Change keysChangeCmd `cmd:"" help:"Change when a key expires, and its limits."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key at once."`
}

type keysTarget struct {
	Server string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"MILLRACE_SERVER"`
	Token  string `help:"Admin token." env:"MILLRACE_TOKEN"`
	Data   string `help:"Work in this data directory instead of asking a server." type:"path" placeholder:"DIR"`
}

// keysLimits are the flags of limits.
type keysLimits struct {
	Expires string   `help:"When it ends: a time (RFC 3339), a duration such as 90d, or never." placeholder:"TIME"`
	Rate    []string `help:"Most per second on average: events as 1000/s, bytes as 1MiB/s; none." placeholder:"N/s"`
	Burst   []string `help:"Most at once after a pause: events as 5000, bytes as 10MiB; default what comes in 10 s." placeholder:"N"`
	Quota   []string `help:"Most per day (UTC): events as 10000000/day, bytes as 5GiB/day; none." placeholder:"N/day"`
}

// change returns what the flags say. ErrInvalid.
func (l *keysLimits) change() (c auth.LimitChange, err error) {
	if l.Expires != "" {
		c.Expires = &l.Expires
	}
	for _, f := range []struct {
		list []string
		add  func(string) error
	}{{l.Rate, c.AddRate}, {l.Burst, c.AddBurst}, {l.Quota, c.AddQuota}} {
		for _, text := range f.list {
			err = errors.Join(err, f.add(text))
		}
	}
	return c, err
}

type keysCreateCmd struct {
	keysTarget
	keysLimits
	Name    string `help:"What or whom the key is for."`
	Project string `help:"Project the key belongs to." default:"default"`
	Scope   string `help:"What it allows: ingest, read or admin." default:"ingest" enum:"ingest,read,admin"`
	JSON    bool   `name:"json" help:"Print as JSON."`
}

type keysListCmd struct {
	keysTarget
	JSON bool `name:"json" help:"Print as JSON."`
}

type keysChangeCmd struct {
	keysTarget
	keysLimits
	ID   string `arg:"" help:"ID of the key, from keys list."`
	JSON bool   `name:"json" help:"Print as JSON."`
}

type keysRevokeCmd struct {
	keysTarget
	ID string `arg:"" help:"ID of the key, from keys list."`
}

// Run implements the command. Standard output is the key alone, for scripts.
func (c *keysCreateCmd) Run(e *env) error {
	req := auth.NewKeyRequest{Name: c.Name, Project: c.Project, Scope: millrace.Scope(c.Scope)}
	var err error
	if req.LimitChange, err = c.change(); err != nil {
		return err
	}
	var doc auth.KeyDocument
	err = c.run(e, func(m millrace.Meta) error {
		secret, key, err := req.New(e.now())
		if err != nil {
			return err
		}
		doc = auth.NewDocument(secret, key, nil)
		return m.CreateKey(e.ctx, key)
	}, func(cl *client.Client) error {
		body, err := json.Marshal(req)
		if err != nil {
			return err
		}
		return cl.Do(e.ctx, http.MethodPost, auth.KeysPath, nil, body, &doc)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, doc)
	}
	if _, err := fmt.Fprintf(e.stderr, "created %s key %s for project %s; it is shown only now:\n", c.Scope, doc.ID, doc.Project); err != nil {
		return err
	}
	if doc.DSN != "" {
		if _, err := fmt.Fprintf(e.stderr, "DSN for Sentry's SDKs: %s\n", doc.DSN); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(e.stdout, doc.Key)
	return err
}

// Run implements the command.
func (c *keysChangeCmd) Run(e *env) error {
	req, err := c.change()
	if err != nil {
		return err
	}
	var doc auth.KeyDocument
	err = c.run(e, func(m millrace.Meta) error {
		key, err := req.Change(e.ctx, m, c.ID, e.now())
		if err == nil {
			doc = auth.Document(key, nil)
		}
		return err
	}, func(cl *client.Client) error {
		body, err := json.Marshal(req)
		if err != nil {
			return err
		}
		return cl.Do(e.ctx, http.MethodPatch, auth.KeysPath+"/"+url.PathEscape(c.ID), nil, body, &doc)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, doc)
	}
	_, err = fmt.Fprintf(e.stdout, "changed %s: %s, limits %s\n", doc.ID, keyState(&doc, e.now()), keyLimits(doc.Limits))
	return err
}

// Run implements the command.
func (c *keysListCmd) Run(e *env) error {
	list := struct {
		Keys []auth.KeyDocument `json:"keys"`
	}{[]auth.KeyDocument{}}
	err := c.run(e, func(m millrace.Meta) error {
		keys, err := m.Keys(e.ctx)
		if err != nil {
			return err
		}
		usage, err := m.Usage(e.ctx, millrace.UnixDay(e.now()), 0)
		for _, k := range keys {
			list.Keys = append(list.Keys, auth.Document(k, usage))
		}
		return err
	}, func(cl *client.Client) error {
		return cl.Do(e.ctx, http.MethodGet, auth.KeysPath, nil, nil, &list)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, list)
	}
	tw := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "ID\tSCOPE\tPROJECT\tCREATED\tSTATE\tLIMITS\tTODAY\tREFUSED\tNAME") // Flush reports errors
	for i := range list.Keys {
		k := &list.Keys[i]
		scopes := make([]string, len(k.Scopes))
		for i, s := range k.Scopes {
			scopes[i] = string(s)
		}
		taken, refused := keyToday(k)
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, strings.Join(scopes, ","), k.Project,
			k.Created.Format(time.RFC3339), keyState(k, e.now()), keyLimits(k.Limits), taken, refused, k.Name)
	}
	return tw.Flush()
}

func keyState(k *auth.KeyDocument, now time.Time) string {
	switch {
	case k.Revoked != nil:
		return "revoked " + k.Revoked.Format(time.RFC3339)
	case k.Expires == nil:
		return "valid"
	case !now.Before(*k.Expires):
		return "expired " + k.Expires.Format(time.RFC3339)
	}
	return "until " + k.Expires.Format(time.RFC3339)
}

// keyLimits lists limits as the flags take them.
func keyLimits(l auth.LimitDocument) string {
	var all []string
	for _, one := range []struct {
		events, bytes int64
		name, per     string
	}{{l.EventRate, l.ByteRate, "", "/s"}, {l.EventBurst, l.ByteBurst, "burst ", ""}, {l.DayEvents, l.DayBytes, "", "/day"}} {
		if one.events > 0 {
			all = append(all, fmt.Sprintf("%s%d%s", one.name, one.events, one.per))
		}
		if one.bytes > 0 {
			all = append(all, fmt.Sprintf("%s%v%s", one.name, millrace.Bytes(one.bytes), one.per))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// keyToday tells what was taken and refused, in events, or in requests where
// nobody knows their events.
func keyToday(k *auth.KeyDocument) (taken, refused string) {
	taken = "0"
	var all []string
	for _, u := range k.Today {
		n := fmt.Sprint(u.Events)
		if u.Events == 0 && u.Requests > 0 {
			n = fmt.Sprintf("%d requests", u.Requests)
		}
		if u.Reason == "" {
			taken = fmt.Sprintf("%d (%v)", u.Events, millrace.Bytes(u.Bytes))
			continue
		}
		all = append(all, u.Reason+" "+n)
	}
	return taken, strings.Join(all, ", ")
}

// Run implements the command.
func (c *keysRevokeCmd) Run(e *env) error {
	err := c.run(e, func(m millrace.Meta) error {
		return m.RevokeKey(e.ctx, c.ID, e.now())
	}, func(cl *client.Client) error {
		return cl.Do(e.ctx, http.MethodDelete, auth.KeysPath+"/"+url.PathEscape(c.ID), nil, nil, nil)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "revoked %s\n", c.ID)
	return err
}

// run works in the data directory or on the server.
func (t *keysTarget) run(e *env, local func(millrace.Meta) error, remote func(*client.Client) error) error {
	if t.Data != "" {
		return withMeta(e.ctx, t.Data, local)
	}
	cl, err := client.New(t.Server, client.Options{Key: t.Token})
	if err != nil {
		return millrace.Errorf(millrace.ErrInvalid, "%v", err)
	}
	err = remote(cl)
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		out := &millrace.Error{Code: millrace.Code(refusal.Code), Message: refusal.Error()}
		if out.Code == millrace.ErrUnauthorized || out.Code == millrace.ErrForbidden {
			out.Hint = "give the admin token with --token or MILLRACE_TOKEN, or on the server's machine its directory with --data"
		}
		return out
	}
	if err != nil && e.ctx.Err() == nil {
		return &millrace.Error{Code: millrace.ErrUnavailable, Message: "the server cannot be reached", Err: err, Hint: "is it running, and is --server right?"}
	}
	return err
}

// withMeta opens the state database, which must exist: creating one in a
// directory named by mistake would only look like success.
func withMeta(ctx context.Context, dir string, do func(millrace.Meta) error) (err error) {
	path := filepath.Join(dir, "meta.db")
	if _, err := os.Stat(path); err != nil {
		return &millrace.Error{Code: millrace.ErrNotFound, Message: dir + " is no data directory of millrace", Err: err}
	}
	m, err := meta.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return do(m)
}

func printJSON(e *env, v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
