package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// ledgerCmd prints the accounts: what became of every event.
type ledgerCmd struct {
	remote
	From   string `help:"Start of arrival: RFC 3339 or relative; without it everything." placeholder:"TIME"`
	To     string `help:"End of arrival, not included." placeholder:"TIME"`
	Source string `help:"Only this source."`
	Sink   string `help:"Only this sink: events or rollup."`
}

// Run implements the command. An account that does not add up is an error.
func (c *ledgerCmd) Run(e *env) error {
	params := url.Values{}
	for name, value := range map[string]string{"from": c.From, "to": c.To, "source": c.Source, "sink": c.Sink} {
		if value != "" {
			params.Set(name, value)
		}
	}
	raw, err := c.ask(e, http.MethodGet, "/api/v1/ledger", params, nil)
	if err != nil {
		return err
	}
	var l query.Ledger
	if err := decodeAnswer(raw, &l); err != nil {
		return err
	}
	if c.JSON {
		err = printRaw(e, raw)
	} else {
		err = printLedger(e, &l)
	}
	if err == nil && !l.Balanced {
		err = millrace.Errorf(millrace.ErrCorrupt, "the ledger does not add up: received differs from stored + sampled + filtered + duplicate + rejected")
	}
	return err
}

func printLedger(e *env, l *query.Ledger) error {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	columns := []string{"project", "source", "sink", "received", "stored", "sampled", "filtered", "duplicate", "rejected", "refused", "check"}
	var rows, reasons [][]string
	for i := range l.Accounts {
		a := &l.Accounts[i]
		check := "ok"
		if !a.Balanced() {
			check = fmt.Sprintf("%+d", a.Difference.Events)
		}
		rows = append(rows, []string{
			a.Project, a.Source, string(a.Sink), n(a.Received.Events), n(a.Stored.Events), n(a.Sampled.Events),
			n(a.Filtered.Events), n(a.Duplicate.Events), n(a.Rejected.Events), n(a.Refused.Events), check,
		})
		for _, r := range a.Reasons {
			reasons = append(reasons, []string{a.Project, a.Source, string(a.Sink), string(r.Outcome), r.Reason, n(r.Events), r.Example})
		}
	}
	numeric := []bool{false, false, false, true, true, true, true, true, true, true, true}
	if err := printTable(e.stdout, columns, rows, numeric); err != nil {
		return err
	}
	if len(reasons) > 0 {
		if _, err := fmt.Fprintln(e.stdout); err != nil {
			return err
		}
		err := printTable(e.stdout, []string{"project", "source", "sink", "outcome", "reason", "events", "example"}, reasons,
			[]bool{false, false, false, false, false, true, false})
		if err != nil {
			return err
		}
	}
	return printFolded(e, l.Folded)
}

// printFolded prints what rollups count under "(other)", if anything.
func printFolded(e *env, folded []query.Folded) error {
	if len(folded) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(e.stdout); err != nil {
		return err
	}
	var rows [][]string
	for _, f := range folded {
		rows = append(rows, []string{f.Where, strconv.FormatInt(f.Weight, 10), f.Hint})
	}
	return printTable(e.stdout, []string{"counted under (other)", "weight", "why"}, rows, []bool{false, true, false})
}
