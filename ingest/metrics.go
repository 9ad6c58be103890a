package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
)

// metrics counts what passes the door. Labels take few values: no sources, of
// which there may be thousands.
type metrics struct {
	requests *prometheus.CounterVec
	wire     prometheus.Counter
	bytes    prometheus.Counter
	events   prometheus.Counter
	rejected *prometheus.CounterVec
	append   prometheus.Histogram
	ok       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, h *Handler) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_ingest_" + name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_ingest_requests_total", Help: "Requests by outcome: ok or the code of the error.",
		}, []string{"outcome"}),
		wire:   counter("received_bytes_total", "Bytes of the bodies of accepted requests, as sent."),
		bytes:  counter("body_bytes_total", "Bytes of the bodies of accepted requests, decompressed."),
		events: counter("events_total", "Events appended to the queue."),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_ingest_rejected_lines_total", Help: "Lines refused at the door, by reason.",
		}, []string{"reason"}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "millrace_ingest_append_seconds", Help: "Time until the queue had a request on disk.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
	}
	m.ok = m.requests.WithLabelValues("ok")
	if reg != nil {
		reg.MustRegister(m.requests, m.wire, m.bytes, m.events, m.rejected, m.append,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "millrace_ingest_memory_bytes", Help: "Memory of the request bodies in flight.",
			}, func() float64 { return float64(h.mem.used.Load()) }))
	}
	return m
}

// done counts an accepted request.
func (m *metrics) done(q *request) {
	m.ok.Inc()
	m.wire.Add(float64(q.body.wire.n))
	m.bytes.Add(float64(q.body.size))
	m.events.Add(float64(q.answer.accepted))
	m.lines(q.answer.reasons)
}

func (m *metrics) lines(refused []millrace.Refusal) {
	for _, r := range refused {
		m.rejected.WithLabelValues(r.Reason).Add(float64(r.Events))
	}
}

func (m *metrics) refusedWhole(code millrace.Code) {
	m.requests.WithLabelValues(string(code)).Inc()
}
