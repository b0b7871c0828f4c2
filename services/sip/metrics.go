package sip

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

// metrics of the node. The names without prefix parley_ are those of the family's catalogue, where running totals are
// gauges.
type metrics struct {
	events    *prometheus.CounterVec // sipnode_events_total
	created   atomic.Int64
	abandoned atomic.Int64
	rejected  atomic.Int64
	dialogs   atomic.Int64
	notFound  atomic.Int64
	unplanned atomic.Int64 // no answer of the dial plan

	eventsLost  prometheus.Counter
	recordsLost prometheus.Counter
	refused     *prometheus.CounterVec
}

func newMetrics(s *Service, reg prometheus.Registerer) *metrics {
	m := &metrics{
		events:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sipnode_events_total", Help: "Call events published."}, []string{"tenant", "event"}),
		eventsLost:  prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sip_events_lost_total", Help: "Call events that could not be stored."}),
		recordsLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sip_records_lost_total", Help: "Call records that could not be stored; they are in the log."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_sip_calls_refused_total",
			Help: "INVITEs that did not become calls, by reason."}, []string{"reason"}),
	}
	reg.MustRegister(m.events, m.eventsLost, m.recordsLost, m.refused)
	total := func(name, help string, v *atomic.Int64) {
		obs.Gauge(reg, name, help, nil, func() float64 { return float64(v.Load()) })
	}
	obs.Gauge(reg, "sips_calls", "Calls in progress.", nil, func() float64 { return float64(s.calls.Load()) })
	total("sips_calls_created", "Calls opened so far.", &m.created)
	total("sips_abandoned_calls", "Calls given up by the caller so far.", &m.abandoned)
	total("sips_rejected_calls", "Calls turned away so far.", &m.rejected)
	total("sips_dialogs_created", "SIP dialogs opened so far.", &m.dialogs)
	total("sips_dp_404_errors", "Dial plan answers with status 404.", &m.notFound)
	total("sips_dp_timeouts", "Dial plan requests that got no answer in time.", &m.unplanned)
	return m
}
