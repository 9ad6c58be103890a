package ingest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// A beacon is one event as parameters: GET /ingest?source=shop&path=/cart&rt=0.2.
// Pages send it with an image or a link, which need neither script nor CORS.

// beaconReserved are the parameters that say something about the event instead
// of being its fields.
var beaconReserved = map[string]bool{
	"source": true, "project": true, "format": true, "key": true,
	"service": true, "host": true, "env": true, "release": true,
}

// gif is a transparent image of one pixel, for beacons that are images.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

func (h *Handler) beacon(w http.ResponseWriter, r *http.Request) {
	q := h.request()
	defer h.release(q)
	if err := h.acceptBeacon(r, q); err != nil {
		h.refuse(w, q, err)
		return
	}
	h.done(q)
	w.Header().Set("Cache-Control", "no-store")
	if !strings.Contains(r.Header.Get("Accept"), "image/") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "image/gif")
	_, _ = w.Write([]byte(gif)) // the page may be gone
}

func (h *Handler) acceptBeacon(r *http.Request, q *request) error {
	if err := h.admit(r, q); err != nil {
		return err
	}
	release, err := h.seqs.admit(q.client, q.seq)
	if err != nil {
		return err
	}
	defer release()
	values := r.URL.Query()
	line := beaconLine(values)
	if line == nil {
		return millrace.Errorf(millrace.ErrInvalid,
			"no event: GET %s takes one event as parameters besides source, service and the like; lines are sent by POST", Path)
	}
	q.format = "json"
	q.body.buf, q.body.size = line, int64(len(line))
	defer func() { q.body.buf = nil }() // it is not from the pool
	if err := decode.Frame(q.format, line, decode.Limits{MaxLine: q.opts.MaxLine, MaxEvent: maxRecord}, &q.framing); err != nil {
		return err
	}
	q.answer.fill(q)
	if len(q.framing.Events) == 0 {
		return errNothingGood
	}
	if err := h.admitEvents(q, len(q.framing.Events)); err != nil {
		return err
	}
	return h.appendRequest(r.Context(), q)
}

// beaconLine returns the event as a line of JSON, its keys in order; nil if
// there is none. Of a parameter given twice the first counts. Numbers, true and
// false stay what they look like.
func beaconLine(values url.Values) []byte {
	keys := make([]string, 0, len(values))
	for k := range values {
		if !beaconReserved[k] && k != "" {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	sort.Strings(keys)
	line := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(millrace.AppendJSONString(line, k), ':')
		if v := values.Get(k); literal(v) {
			line = append(line, v...)
		} else {
			line = millrace.AppendJSONString(line, v)
		}
	}
	return append(line, '}', '\n')
}

// literal reports whether v is a JSON number or boolean.
func literal(v string) bool {
	if v == "true" || v == "false" {
		return true
	}
	return v != "" && (v[0] == '-' || (v[0] >= '0' && v[0] <= '9')) && json.Valid([]byte(v))
}
