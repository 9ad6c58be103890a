package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/millrace/millrace/internal/gen"
)

// Wire is the protocol in which lines are sent. They are the same events in each.
type Wire string

// The wires.
const (
	NDJSON Wire = "ndjson" // POST /ingest
	OTLP   Wire = "otlp"   // OTLP/HTTP, protobuf: POST /v1/logs
	Bulk   Wire = "bulk"   // Elasticsearch: POST /_bulk, with create for each
)

// Wires are all of them; what the others are compared with is the first.
func Wires() []Wire { return []Wire{NDJSON, OTLP, Bulk} }

// packet is a request of a wire, made before anything is measured: only what
// makes a line distinct is written into it again before it is sent.
type packet struct {
	body   []byte
	stamps []stamp // by line
}

// stamp is where a packet has what makes a line distinct. In text that is the
// start of the line, at text; else time and trace id have places of their own.
type stamp struct{ text, time, trace int }

// pack makes the packets of the sender's pool, one for each request until the
// pool begins again.
func (s *sender) pack(url string) error {
	var encode func(*packet, []byte, int) error
	switch s.load.Wire {
	case "", NDJSON:
		return nil
	case OTLP:
		s.url, encode = url+"/v1/logs", packOTLP
	case Bulk:
		// As Beats ask for the answer: it says what became of each item.
		s.url, encode = url+"/_bulk?filter_path=errors,items.*.error,items.*.status", packBulk
	default:
		return fmt.Errorf("no wire %q", s.load.Wire)
	}
	if s.load.Rate > 0 {
		return errors.New("requests of a wire other than NDJSON have all the same size: no rate")
	}
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: s.load.InFlight}}
	for made := 0; made < s.load.PoolSize; {
		body, n := s.pool.Next(s.load.Lines, time.Unix(0, 0), time.Unix(0, 0))
		var p packet
		if err := encode(&p, body, s.pool.LineBytes()); err != nil {
			return fmt.Errorf("make a request of %s: %w", s.load.Wire, err)
		}
		s.packed = append(s.packed, p)
		made += n
	}
	return nil
}

// packBulk puts the same action before each line.
func packBulk(p *packet, lines []byte, size int) error {
	const action = `{"create":{"_index":"bench"}}` + "\n"
	for ; len(lines) > 0; lines = lines[size:] {
		p.body = append(p.body, action...)
		p.stamps = append(p.stamps, stamp{text: len(p.body)})
		p.body = append(p.body, lines[:size]...)
	}
	return nil
}

// restamp returns the packet of the n lines that the pool has just handed out,
// whose times lie evenly between from and to.
func (s *sender) restamp(lines []byte, n int, from, to time.Time) []byte {
	p := &s.packed[s.turn%len(s.packed)]
	s.turn++
	size, text := s.pool.LineBytes(), s.load.Wire == Bulk
	ns, step := from.UnixNano(), int64(to.Sub(from))/int64(n)
	for i := range n {
		line, at := lines[i*size:][:gen.StampLen], &p.stamps[i]
		if text {
			copy(p.body[at.text:], line)
		} else {
			// Lines have microseconds.
			binary.LittleEndian.PutUint64(p.body[at.time:], uint64(ns/1000*1000))
			if _, err := hex.Decode(p.body[at.trace:][:16], line[gen.StampLen-32:]); err != nil {
				panic("BUG: the trace id of a generated line: " + err.Error())
			}
		}
		ns += step
	}
	return p.body
}

// The answers when all is stored: nothing is refused.
const allOfOTLP = ""

var allOfBulk = []byte(`"errors":false`)

// post sends a packet until the server takes it.
func (s *sender) post(ctx context.Context, body []byte) error {
	for {
		status, answer, err := s.try(ctx, body)
		switch {
		case err != nil:
			return err
		case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
			s.mu.Lock()
			s.sent.Throttled++
			s.mu.Unlock()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		case status != http.StatusOK, s.load.Wire == OTLP && string(answer) != allOfOTLP, s.load.Wire == Bulk && !bytes.Contains(answer, allOfBulk):
			return fmt.Errorf("%s: the server answered %d: %.300s", s.load.Wire, status, answer)
		default:
			return nil
		}
	}
}

func (s *sender) try(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if s.load.Wire == Bulk {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	req.Header.Set("X-Millrace-Source", "bench")
	res, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}
