package sip

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

// counted is something about route points that is counted.
type counted int

const (
	countedTreatment  counted = iota // asked for
	countedNotApplied                // that could not be
	countedDefault                   // sent to the default destination
	countedTimeout                   // not routed in time
)

// queueMetrics are those of calls at route points, under the names of the catalogue.
type queueMetrics struct {
	treatments obs.Rate
	timeouts   atomic.Int64
	notApplied *prometheus.CounterVec
	defaulted  *prometheus.CounterVec
}

func (m *queueMetrics) register(reg prometheus.Registerer, total func(string, string, *atomic.Int64)) {
	m.notApplied = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sipnode_treatment_not_applied", Help: "Treatments that did not succeed."}, []string{"tenant"})
	m.defaulted = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sipnode_default_routing_total", Help: "Calls sent to the default destination."}, []string{"tenant"})
	reg.MustRegister(m.notApplied, m.defaulted)
	obs.Gauge(reg, "sips_treatment_rate", "Treatments asked for a second, mean of the last ten.", nil, m.treatments.PerSecond)
	total("sips_routing_timeouts", "Calls not routed in time so far.", &m.timeouts)
}

func (o *outside) count(what counted, tenant string) {
	switch m := &o.m.queues; what {
	case countedTreatment:
		m.treatments.Add()
	case countedNotApplied:
		m.notApplied.WithLabelValues(tenant).Inc()
	case countedDefault:
		m.defaulted.WithLabelValues(tenant).Inc()
	case countedTimeout:
		m.timeouts.Add(1)
	}
}
