package cdr

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/obs"
)

// metrics of the service. The family's catalogue has none for call detail records, so all are Parley's own, but for those
// of the stream.
type metrics struct {
	stored   prometheus.Counter
	repeated prometheus.Counter
	rejected prometheus.Counter
	failures prometheus.Counter
	expired  prometheus.Counter
	trimmed  prometheus.Counter
	lag      prometheus.Histogram
	waiting  atomic.Int64 // -1 while it is not known
}

func newMetrics(reg prometheus.Registerer, f *fabric.Fabric, health *obs.Health) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		stored:   counter("parley_cdr_stored_total", "Call detail records written by this node."),
		repeated: counter("parley_cdr_repeated_total", "Call detail records that came again and were there already."),
		rejected: counter("parley_cdr_rejected_total", "Events on the stream CDR that are no call detail records."),
		failures: counter("parley_cdr_store_failures_total", "Batches that could not be written and are tried again."),
		expired:  counter("parley_cdr_expired_total", "Call detail records deleted by this node because they were too old."),
		trimmed:  counter("parley_cdr_stream_trimmed_total", "Stored records deleted from the stream CDR by this node to make room."),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_cdr_store_lag_seconds", Help: "Time from a record's arrival in the stream until it is in the database.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600},
		}),
	}
	m.waiting.Store(-1)
	if reg == nil {
		return m
	}
	reg.MustRegister(m.stored, m.repeated, m.rejected, m.failures, m.expired, m.trimmed, m.lag, waiting{m})
	obs.HealthGauge(reg, "parley_cdr_health_level", obs.ScaleLevel, health)
	reg.MustRegister(f.Collector(fabric.Metrics{
		"kafka_consumer_state":       {"topic"},
		"kafka_consumer_error_total": {"topic", "kafka_location"},
	}))
	return m
}

// waiting shows how many records have yet to be written, as long as that is known.
type waiting struct{ m *metrics }

var waitingDesc = prometheus.NewDesc("parley_cdr_waiting", "Records in the stream CDR that are not yet in the database.", nil, nil)

// Describe is part of prometheus.Collector.
func (w waiting) Describe(ch chan<- *prometheus.Desc) { ch <- waitingDesc }

// Collect is part of prometheus.Collector.
func (w waiting) Collect(ch chan<- prometheus.Metric) {
	if n := w.m.waiting.Load(); n >= 0 {
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(n))
	}
}
