package sip

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// groupMetrics are those of ring groups, with the names of the family's catalogue.
type groupMetrics struct {
	operations *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	results    *prometheus.CounterVec
}

func newGroupMetrics(reg prometheus.Registerer) groupMetrics {
	m := groupMetrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "call_ring_group_operations_total",
			Help: "Calls that rang at a ring group."}, []string{"mode", "has_balancer"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "call_ring_group_operation_duration_seconds",
			Help: "How long calls were at a ring group until somebody answered, or nobody did.", Buckets: []float64{.5, 1, 2, 5, 10, 20, 30, 60, 120, 300}}, []string{"mode", "has_balancer"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "call_ring_group_results_total",
			Help: "Calls that rang at a ring group, by how that ended."}, []string{"mode", "result", "has_balancer", "error"}),
	}
	reg.MustRegister(m.operations, m.duration, m.results)
	return m
}

func (m *groupMetrics) count(r groupResult) {
	balanced := strconv.FormatBool(r.balanced)
	m.operations.WithLabelValues(r.mode, balanced).Inc()
	m.duration.WithLabelValues(r.mode, balanced).Observe(r.took.Seconds())
	m.results.WithLabelValues(r.mode, r.result, balanced, r.err).Inc()
}
