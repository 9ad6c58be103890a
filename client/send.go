package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Answer is what became of the lines of a request.
type Answer struct {
	Accepted      int        `json:"accepted"` // events stored durably
	Rejected      []Rejected `json:"rejected"` // the first of those refused, at most 100
	RejectedTotal int        `json:"rejected_total"`
}

// Rejected is a line that was refused.
type Rejected struct {
	Line   int    `json:"line"`   // from 1, within the body
	Error  string `json:"error"`  // for people
	Reason string `json:"reason"` // a stable identifier
}

// Send sends body, lines of text or JSON, under a sequence number, and returns
// when the server has it on disk. It may be called concurrently with different
// numbers, which must grow from request to request by one and not run 1,024 or
// more ahead of the oldest that is not answered. If it returns an error, send
// the same body again under the same number, or give the number up.
//
// A body of which every line was refused is no error: the answer says so. Other
// refusals are an *Error. Send does not keep body.
func (c *Client) Send(ctx context.Context, seq int64, body []byte) (Answer, error) {
	encoding := ""
	if c.compress {
		var buf bytes.Buffer
		// The fastest level: the network is rarely slower than the next one.
		gz, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
		if err != nil {
			return Answer{}, fmt.Errorf("compress: %w", err)
		}
		if _, err = gz.Write(body); err == nil {
			err = gz.Close()
		}
		if err != nil {
			return Answer{}, fmt.Errorf("compress: %w", err)
		}
		body, encoding = buf.Bytes(), "gzip"
	}
	target := c.base.String() + "/ingest?" + c.ingestQuery()
	var answer Answer
	err := c.retry(ctx, func() (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "text/plain; charset=utf-8")
		if encoding != "" {
			r.Header.Set("Content-Encoding", encoding)
		}
		r.Header.Set("X-Millrace-Client", c.opts.ClientID)
		r.Header.Set("X-Millrace-Seq", strconv.FormatInt(seq, 10))
		return r, nil
	}, &answer)
	if e, ok := err.(*Error); ok && e.rejected.RejectedTotal > 0 { //nolint:errorlint // retry returns it as it is
		return e.rejected, nil
	}
	return answer, err
}

func (c *Client) ingestQuery() string {
	q := url.Values{}
	o := &c.opts
	for name, value := range map[string]string{
		"source": o.Source, "format": o.Format, "project": o.Project,
		"service": o.Service, "host": o.Host, "env": o.Env, "release": o.Release,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}
