package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// searchCmd prints raw rows, newest last, as a log file would have them.
type searchCmd struct {
	remote
	Query []string `arg:"" optional:"" help:"What to look for: words, \"phrases\", field:value, status>=500, NOT, OR, ( )."`
	From  string   `help:"Start: RFC 3339 or relative." default:"-1h"`
	To    string   `help:"End, not included." default:"now"`
	Limit int      `help:"Most rows." default:"100"`
	Full  bool     `help:"Print whole messages, with their further lines."`
}

// Run implements the command. With --json each row is a line.
func (c *searchCmd) Run(e *env) error {
	if c.Limit < 1 {
		return millrace.Errorf(millrace.ErrInvalid, "--limit %d: must be at least 1", c.Limit)
	}
	params := url.Values{"q": {strings.Join(c.Query, " ")}, "from": {c.From}, "to": {c.To}}
	var rows []json.RawMessage
	for len(rows) < c.Limit {
		params.Set("limit", strconv.Itoa(min(c.Limit-len(rows), query.MaxLogs)))
		raw, err := c.ask(e, http.MethodGet, "/api/v1/logs", params, nil)
		if err != nil {
			return err
		}
		var page struct {
			Events []json.RawMessage
			Next   string
		}
		if err := decodeAnswer(raw, &page); err != nil {
			return err
		}
		rows = append(rows, page.Events...)
		if page.Next == "" || len(page.Events) == 0 {
			break
		}
		params.Set("cursor", page.Next)
	}
	for i := len(rows) - 1; i >= 0; i-- {
		if err := c.print(e, rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *searchCmd) print(e *env, raw json.RawMessage) error {
	if c.JSON {
		return printRaw(e, raw)
	}
	var ev millrace.StoredEvent
	if err := json.Unmarshal(raw, &ev); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	name, level := ev.Service, ev.Level
	if name == "" {
		name = ev.Source
	}
	if level == "" {
		level = "-"
	}
	message := ev.Message
	if !c.Full {
		if first, _, more := strings.Cut(message, "\n"); more {
			message = first + " …"
		}
	}
	_, err := fmt.Fprintf(e.stdout, "%s  %-12s  %-5s  %s\n",
		ev.Time.UTC().Format("2006-01-02T15:04:05.000Z"), printable(name), printable(level), printableLines(message))
	return err
}

// printable replaces what could steer a terminal: log lines come from anyone.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}

func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(strings.ReplaceAll(strings.TrimSuffix(l, "\r"), "\t", "    "))
	}
	return strings.Join(lines, "\n")
}
