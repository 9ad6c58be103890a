package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Table is the answer to a question: rows are arrays in the order of columns.
// Values are nil, bool, string, json.Number, []any and map[string]any.
type Table struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`

	// Of rollups: up to when the answer is complete, and where it comes from.
	CompleteUntil *time.Time `json:"complete_until,omitempty"`
	Source        any        `json:"source,omitempty"`
}

// SQL runs a read-only statement over the names that the documentation lists.
func (c *Client) SQL(ctx context.Context, query string) (*Table, error) {
	body, err := json.Marshal(map[string]string{"sql": query})
	if err != nil {
		return nil, err
	}
	var t Table
	return &t, c.Do(ctx, http.MethodPost, "/api/v1/sql", nil, body, &t)
}

// Rollup asks for the cells of a rollup. params are those of
// GET /api/v1/rollups/{name}: metrics, by, where, from, to, step, order, limit.
func (c *Client) Rollup(ctx context.Context, name string, params url.Values) (*Table, error) {
	var t Table
	return &t, c.Do(ctx, http.MethodGet, "/api/v1/rollups/"+url.PathEscape(name), params, nil, &t)
}

// Logs is a page of stored events, newest first.
type Logs struct {
	Events []json.RawMessage `json:"events"`
	Next   string            `json:"next"` // cursor of the next page, empty on the last
}

// Logs searches stored events. params are those of GET /api/v1/logs: q, from,
// to, limit, cursor.
func (c *Client) Logs(ctx context.Context, params url.Values) (*Logs, error) {
	var l Logs
	return &l, c.Do(ctx, http.MethodGet, "/api/v1/logs", params, nil, &l)
}

// Do makes any request of the API and decodes the answer into v (nil: none).
// Numbers decoded into an any are json.Number. Refusals are an *Error. Nothing
// is repeated: a question that ran into a time limit would do so again.
func (c *Client) Do(ctx context.Context, method, path string, params url.Values, body []byte, v any) error {
	target := c.base.String() + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, rd)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.once(r, v)
}

func unmarshal(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	return dec.Decode(v)
}
