package sip

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/internal/voice"
)

// metrics of the node. The names without prefix parley_ are those of the family's catalogue, where running totals are
// gauges.
type metrics struct {
	events    *prometheus.CounterVec // sipnode_events_total
	response  prometheus.Histogram   // sips_sip_response_time_ms
	created   atomic.Int64
	abandoned atomic.Int64
	rejected  atomic.Int64
	dialogs   atomic.Int64
	calls     obs.Rate
	dialplan  planMetrics
	voice     voiceMetrics
	queues    queueMetrics
	groups    groupMetrics

	eventsLost  prometheus.Counter
	recordsLost prometheus.Counter
	refused     *prometheus.CounterVec
	handshakes  *prometheus.CounterVec

	haWrites, haReads, restored prometheus.Counter
}

func newMetrics(s *Service, reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sipnode_events_total", Help: "Call events published."}, []string{"tenant", "event"}),
		response: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sips_sip_response_time_ms",
			Help: "Time until the far end first answers a request, in milliseconds.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 32000}}),
		eventsLost:  prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sip_events_lost_total", Help: "Call events that could not be stored."}),
		recordsLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sip_records_lost_total", Help: "Call records that could not be stored; they are in the log."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_sip_calls_refused_total",
			Help: "INVITEs that did not become calls, by reason."}, []string{"reason"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_sip_handshakes_total",
			Help: "DTLS handshakes for the audio of calls that ended with keys, or failed, those of strangers included."}, []string{"outcome"}),
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	m.haWrites = counter("sipnode_ha_writes_total", "States of calls written for another node to go on with.")
	m.haReads = counter("sipnode_ha_reads_total", "States of calls read to find those without a node.")
	m.restored = counter("sipnode_redis_restored_calls_total", "Calls of other nodes, or of an earlier life of this one, that were taken over.")
	reg.MustRegister(m.events, m.response, m.eventsLost, m.recordsLost, m.refused, m.handshakes)
	total := func(name, help string, v *atomic.Int64) {
		obs.Gauge(reg, name, help, nil, func() float64 { return float64(v.Load()) })
	}
	obs.Gauge(reg, "sips_calls", "Calls in progress.", nil, func() float64 { return float64(s.calls.Load()) })
	obs.Gauge(reg, "parley_sip_wait_seconds", "How long work waited for a processor lately, nine tenths of it at most.", nil,
		func() float64 { return time.Duration(s.pressure.wait.Load()).Seconds() })
	obs.Gauge(reg, "sips_call_rate", "Calls a second, mean of the last ten.", nil, m.calls.PerSecond)
	total("sips_calls_created", "Calls opened so far.", &m.created)
	total("sips_abandoned_calls", "Calls given up by the caller so far.", &m.abandoned)
	total("sips_rejected_calls", "Calls turned away so far.", &m.rejected)
	total("sips_dialogs_created", "SIP dialogs opened so far.", &m.dialogs)
	m.dialplan.register(reg, total)
	m.queues.register(reg, total)
	m.voice = newVoiceMetrics(reg)
	m.groups = newGroupMetrics(reg)
	obs.Gauge(reg, "sipnode_redis_state", "State of the link to the JetStream: 0 disconnected, 2 ready.",
		prometheus.Labels{"redis_cluster_name": obs.JetStream}, func() float64 {
			if ok, _ := s.f.Connected(); ok {
				return float64(obs.StateReady)
			}
			return float64(obs.StateDisconnected)
		})
	return m
}

// planMetrics is what the node sees of the dial plan.
type planMetrics struct {
	asked    obs.Rate
	up       atomic.Bool
	timeouts atomic.Int64
	answers  atomic.Int64
	nanos    atomic.Int64 // of all answers together

	e400, e404, e4xx, e500, e501, e5xx atomic.Int64
}

func (p *planMetrics) register(reg prometheus.Registerer, total func(string, string, *atomic.Int64)) {
	obs.Gauge(reg, "sips_dp_state", "Whether the dial plan answers: 1, or 0.", nil, func() float64 {
		if p.up.Load() {
			return 1
		}
		return 0
	})
	obs.Gauge(reg, "sips_dp_req_rate", "Dial plan requests a second, mean of the last ten.", nil, p.asked.PerSecond)
	obs.Gauge(reg, "sips_dp_average_response_latency", "Mean time of a dial plan answer, in milliseconds.", nil, func() float64 {
		if n := p.answers.Load(); n > 0 {
			return float64(p.nanos.Load()) / float64(n) / float64(time.Millisecond)
		}
		return 0
	})
	total("sips_dp_timeouts", "Dial plan requests that got no answer in time.", &p.timeouts)
	total("sips_dp_400_errors", "Dial plan answers with status 400.", &p.e400)
	total("sips_dp_404_errors", "Dial plan answers with status 404.", &p.e404)
	total("sips_dp_4xx_errors", "Dial plan answers with any status 4xx.", &p.e4xx)
	total("sips_dp_500_errors", "Dial plan answers with status 500.", &p.e500)
	total("sips_dp_501_errors", "Dial plan answers with status 501.", &p.e501)
	total("sips_dp_5xx_errors", "Dial plan answers with any status 5xx.", &p.e5xx)
}

// answered counts an answer of the dial plan.
func (p *planMetrics) answered(r *contract.ResolveResponse, err error, took time.Duration) {
	p.asked.Add()
	status := 0
	switch {
	case errors.Is(err, voice.ErrTimeout):
		p.timeouts.Add(1)
		return
	case err != nil:
		status = 500
	case r.Kind == contract.RouteReject:
		status = r.Status
	}
	p.answers.Add(1)
	p.nanos.Add(int64(took))
	switch status {
	case 400:
		p.e400.Add(1)
	case 404:
		p.e404.Add(1)
	case 500:
		p.e500.Add(1)
	case 501:
		p.e501.Add(1)
	}
	switch status / 100 {
	case 4:
		p.e4xx.Add(1)
	case 5:
		p.e5xx.Add(1)
	}
}
