package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/query"
)

// remote is what the commands that question a server have in common.
type remote struct {
	Server string `help:"URL of the server." default:"http://127.0.0.1:8080" env:"MILLRACE_SERVER"`
	Token  string `help:"Read or admin token." env:"MILLRACE_TOKEN"`
	JSON   bool   `name:"json" help:"Print the server's answer as JSON instead of a table."`
}

// ask sends one request and returns the answer as the server wrote it, which
// has one order for equal content.
func (r *remote) ask(e *env, method, path string, params url.Values, body []byte) (json.RawMessage, error) {
	cl, err := client.New(r.Server, client.Options{Key: r.Token})
	if err != nil {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%v", err)
	}
	var raw json.RawMessage
	if err := cl.Do(e.ctx, method, path, params, body, &raw); err != nil {
		return nil, refused(err)
	}
	return raw, nil
}

// refused gives the server's refusal its code, on which the exit code depends.
func refused(err error) error {
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	out := &millrace.Error{Code: millrace.Code(refusal.Code), Message: refusal.Error()}
	if out.Code == millrace.ErrUnauthorized || out.Code == millrace.ErrForbidden {
		out.Hint = "give a read or admin token with --token or MILLRACE_TOKEN"
	}
	return out
}

// show prints the answer as it is, or as the table that columns and rows make.
func (r *remote) show(e *env, raw json.RawMessage) error {
	if r.JSON {
		return printRaw(e, raw)
	}
	var t client.Table
	if err := decodeAnswer(raw, &t); err != nil {
		return err
	}
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = make([]string, len(row))
		for j, v := range row {
			rows[i][j] = cellText(v)
		}
	}
	return printTable(e.stdout, t.Columns, rows, numericColumns(t.Rows, len(t.Columns)))
}

func printRaw(e *env, raw json.RawMessage) error {
	_, err := fmt.Fprintf(e.stdout, "%s\n", strings.TrimSpace(string(raw)))
	return err
}

func decodeAnswer(raw json.RawMessage, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// sqlCmd runs one statement.
type sqlCmd struct {
	remote
	Statement []string `arg:"" optional:"" help:"The statement; - or nothing reads it from standard input."`
}

// Run implements the command.
func (c *sqlCmd) Run(e *env) error {
	stmt := strings.Join(c.Statement, " ")
	if stmt == "" || stmt == "-" {
		in, err := io.ReadAll(io.LimitReader(e.stdin, query.MaxSQLBytes+1))
		if err != nil {
			return fmt.Errorf("read the statement: %w", err)
		}
		stmt = string(in)
	}
	body, err := json.Marshal(map[string]string{"sql": stmt})
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPost, "/api/v1/sql", nil, body)
	if err != nil {
		return err
	}
	return c.show(e, raw)
}
