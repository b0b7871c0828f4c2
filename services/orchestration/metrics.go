package orchestration

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/obs"
)

// metrics of the service.
type metrics struct {
	work, repeated, full       prometheus.Counter
	started, ended, notStarted prometheus.Counter
	runaway, takenOver, lost   prometheus.Counter
	events, refused            prometheus.Counter
	saved, unsaved             prometheus.Counter
	requests, failed           *prometheus.CounterVec
	defaulted, redirected      *prometheus.CounterVec
	fetches                    *prometheus.CounterVec
	fetchTime, resolved        prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, svc *Service, health *obs.Health) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		work:       counter("parley_orchestration_work_total", "Items taken from WORK."),
		repeated:   counter("parley_orchestration_work_repeated_total", "Items that came again and had a session."),
		full:       counter("parley_orchestration_full_total", "Batches of work left to others because this node has its limit of sessions."),
		started:    counter("parley_orchestration_sessions_started_total", "Sessions started on this node."),
		ended:      counter("parley_orchestration_sessions_ended_total", "Sessions whose script came to its end, or was stopped."),
		notStarted: counter("parley_orchestration_sessions_failed_total", "Sessions that could not be started or continued."),
		runaway:    counter("parley_orchestration_sessions_stopped_total", "Sessions stopped because they went beyond their limits."),
		takenOver:  counter("parley_orchestration_sessions_taken_over_total", "Sessions continued after their process was gone."),
		lost:       counter("parley_orchestration_sessions_lost_total", "Sessions that another process took over from this one while it ran."),
		events:     counter("parley_orchestration_events_total", "Events given to sessions."),
		refused:    counter("parley_orchestration_events_refused_total", "Events that a session did not take: its queue was full, or they were too large."),
		saved:      counter("parley_orchestration_snapshots_total", "Records of sessions written."),
		unsaved:    counter("parley_orchestration_snapshot_failures_total", "Records of sessions that could not be written."),
		requests:   vec("parley_orchestration_requests_total", "Requests of scripts.", "action"),
		failed:     vec("parley_orchestration_requests_failed_total", "Requests of scripts that were answered by an error.", "action"),
		defaulted:  vec("parley_orchestration_default_routed_total", "Calls sent to the default destination because no script looked after them.", "tenant", "why"),
		redirected: vec("parley_orchestration_redirected_total", "Calls routed by somebody else than their session.", "tenant"),
		fetches:    vec("http_client_response_count", "Answers of services on the web, by status; 0 is none.", "code"),
		fetchTime:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "http_client_request_duration_seconds", Help: "Time until services on the web answered.", Buckets: prometheus.DefBuckets}),
		resolved:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "parley_orchestration_application_seconds", Help: "Time to find and compile the application of a call.", Buckets: prometheus.ExponentialBuckets(.0001, 4, 9)}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.work, m.repeated, m.full, m.started, m.ended, m.notStarted, m.runaway, m.takenOver, m.lost, m.events, m.refused,
		m.saved, m.unsaved, m.requests, m.failed, m.defaulted, m.redirected, m.fetches, m.fetchTime, m.resolved,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_orchestration_sessions", Help: "Sessions on this node."},
			func() float64 { return float64(svc.Running()) }))
	obs.HealthGauge(reg, "parley_orchestration_health_level", obs.ScaleLevel, health)
	reg.MustRegister(svc.f.Collector(fabric.Metrics{"kafka_consumer_state": {"topic"}}))
	return m
}

// fetched notes what a service on the web answered.
func (m *metrics) fetched(err error, a *answer, took time.Duration) {
	code := 0
	if err == nil {
		code = a.status
	}
	m.fetches.WithLabelValues(strconv.Itoa(code)).Inc()
	m.fetchTime.Observe(took.Seconds())
}
