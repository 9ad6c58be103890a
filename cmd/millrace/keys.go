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
// runs there (it then notices within five seconds).
type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Create a key and print it, once."`
	List   keysListCmd   `cmd:"" help:"List keys."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key at once."`
}

type keysTarget struct {
	Server string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"MILLRACE_SERVER"`
	Token  string `help:"Admin token." env:"MILLRACE_TOKEN"`
	Data   string `help:"Work in this data directory instead of asking a server." type:"path" placeholder:"DIR"`
}

type keysCreateCmd struct {
	keysTarget
	Name    string `help:"What or whom the key is for."`
	Project string `help:"Project the key belongs to." default:"default"`
	Scope   string `help:"What it allows: ingest, read or admin." default:"ingest" enum:"ingest,read,admin"`
	JSON    bool   `name:"json" help:"Print as JSON."`
}

type keysListCmd struct {
	keysTarget
	JSON bool `name:"json" help:"Print as JSON."`
}

type keysRevokeCmd struct {
	keysTarget
	ID string `arg:"" help:"ID of the key, from keys list."`
}

// Run implements the command. Standard output is the key alone, for scripts.
func (c *keysCreateCmd) Run(e *env) error {
	req := auth.NewKeyRequest{Name: c.Name, Project: c.Project, Scope: millrace.Scope(c.Scope)}
	var doc auth.KeyDocument
	err := c.run(e, func(m millrace.Meta) error {
		secret, key, err := req.New(e.now())
		if err != nil {
			return err
		}
		doc = auth.Document(key)
		doc.Key = secret
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
	_, err = fmt.Fprintln(e.stdout, doc.Key)
	return err
}

// Run implements the command.
func (c *keysListCmd) Run(e *env) error {
	list := struct {
		Keys []auth.KeyDocument `json:"keys"`
	}{[]auth.KeyDocument{}}
	err := c.run(e, func(m millrace.Meta) error {
		keys, err := m.Keys(e.ctx)
		for _, k := range keys {
			list.Keys = append(list.Keys, auth.Document(k))
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
	_, _ = fmt.Fprintln(tw, "ID\tSCOPE\tPROJECT\tCREATED\tSTATE\tNAME") // Flush reports errors
	for _, k := range list.Keys {
		state, scopes := "valid", make([]string, len(k.Scopes))
		for i, s := range k.Scopes {
			scopes[i] = string(s)
		}
		if k.Revoked != nil {
			state = "revoked " + k.Revoked.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, strings.Join(scopes, ","), k.Project, k.Created.Format(time.RFC3339), state, k.Name)
	}
	return tw.Flush()
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
