package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace"
)

// backfillCmd makes a rollup complete for the past, from the raw rows.
type backfillCmd struct {
	remote
	Rollup string `help:"Name of the rollup." required:"" placeholder:"NAME"`
	From   string `help:"Start of event time, RFC 3339 or relative; by default the first raw row." placeholder:"TIME"`
	To     string `help:"End; by default from when on the rollup is complete." placeholder:"TIME"`
	Cancel bool   `help:"End the backfill of the rollup that is running. What it has done stays."`
}

// backfillState is what the server tells of a backfill.
type backfillState struct {
	Rows, Total, Cells int64
	From, To           time.Time
	Done               bool
	Error              string
}

// backfillPoll is how often the server is asked how far it is.
const backfillPoll = 300 * time.Millisecond

// Run implements the command. It waits until the backfill is done; one that is
// running already is joined.
func (c *backfillCmd) Run(e *env) error {
	path := "/api/v1/rollups/" + url.PathEscape(c.Rollup) + "/backfill"
	if c.Cancel {
		raw, err := c.ask(e, http.MethodDelete, path, nil, nil)
		if err != nil {
			return err
		}
		return printRaw(e, raw)
	}
	params := url.Values{}
	for name, value := range map[string]string{"from": c.From, "to": c.To} {
		if value != "" {
			params.Set(name, value)
		}
	}
	raw, err := c.ask(e, http.MethodPost, path, params, nil)
	if millrace.ErrorCode(err) == millrace.ErrConflict {
		fmt.Fprintln(e.stderr, millrace.ErrorMessage(err)+"; waiting for it")
		raw, err = c.ask(e, http.MethodGet, path, nil, nil)
	}
	for {
		if err != nil {
			return err
		}
		var st backfillState
		if err := decodeAnswer(raw, &st); err != nil {
			return err
		}
		c.draw(e, &st)
		if st.Done {
			return c.end(e, &st, raw)
		}
		select {
		case <-e.ctx.Done():
			fmt.Fprintln(e.stderr, "\nThe server goes on; --cancel ends it.")
			return e.ctx.Err()
		case <-time.After(backfillPoll):
		}
		raw, err = c.ask(e, http.MethodGet, path, nil, nil)
	}
}

// draw shows the bar on a terminal.
func (c *backfillCmd) draw(e *env, st *backfillState) {
	if !e.stdoutTTY || c.JSON {
		return
	}
	full := barWidth
	if st.Total > 0 {
		full = int(min(1, float64(st.Rows)/float64(st.Total)) * barWidth)
	}
	fmt.Fprintf(e.stdout, "\r\x1b[K%s  [%s%s]  %s of %s rows, back to %s", c.Rollup, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full),
		humanize.Comma(st.Rows), humanize.Comma(st.Total), st.From.Format(time.RFC3339))
}

func (c *backfillCmd) end(e *env, st *backfillState, raw json.RawMessage) error {
	if e.stdoutTTY && !c.JSON {
		fmt.Fprintln(e.stdout)
	}
	if st.Error != "" {
		return &millrace.Error{
			Code: millrace.ErrConflict, Message: st.Error,
			Hint: fmt.Sprintf("complete from %s on; what is done stays, and another run goes on from there", st.From.Format(time.RFC3339)),
		}
	}
	if c.JSON {
		return printRaw(e, raw)
	}
	_, err := fmt.Fprintf(e.stdout, "%s: %s rows of %s to %s folded again into %s cells\n", c.Rollup, humanize.Comma(st.Rows),
		st.From.Format(time.RFC3339), st.To.Format(time.RFC3339), humanize.Comma(st.Cells))
	return err
}
