package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/pipeline"
)

var (
	descDetails     = desc("exception_details_total", "Exceptions by what became of their details: stored, or sampled, which are counted only.", "outcome")
	descReservoirs  = desc("exception_reservoirs", "Fingerprints and minutes whose exceptions are sampled at the moment: each on its own, or several together for want of room.", "of")
	descDetailBytes = desc("exception_detail_bytes", "Bytes of details stored of the newest 5 s of arrival, and the budget of each 5 s.", "what")
	descUntold      = desc("exception_sightings_refused_total", "Sightings of exceptions that the register of issues refused for good.")
)

// samplesProblem says that details of exceptions are missing for want of budget; ""
// if they are not, or were a while ago.
func samplesProblem(st pipeline.SampleStatus, now time.Time) string {
	if !st.Short() || now.Sub(st.DetailSince) > 5*time.Minute {
		return ""
	}
	return fmt.Sprintf("exceptions: details of %s arrived within 5 s, of %s that pipeline.exceptions.detail_bytes allows: fewer are stored; all are counted",
		millrace.Bytes(st.DetailBytes), millrace.Bytes(st.DetailLimit))
}

// collectSamples shows what the events sink keeps of exceptions.
func collectSamples(st pipeline.SampleStatus, counter, gauge func(*prometheus.Desc, float64, ...string)) {
	counter(descDetails, float64(st.Stored), "stored")
	counter(descDetails, float64(st.Sampled), "sampled")
	gauge(descReservoirs, float64(st.Reservoirs-st.Shared), "one")
	gauge(descReservoirs, float64(st.Shared), "several")
	gauge(descDetailBytes, float64(st.DetailBytes), "used")
	gauge(descDetailBytes, float64(st.DetailLimit), "limit")
	counter(descUntold, float64(st.Untold))
}
