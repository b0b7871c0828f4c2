package orchestration

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	defaulted                  *prometheus.CounterVec
	redirected, callEvents     prometheus.Counter
	opened, cleared            prometheus.Counter
	entered, scriptErrors      prometheus.Counter
	asked, askErrors           prometheus.Counter // session.fetch and ws.request
	tlib                       prometheus.Histogram
	sums                       [len(actionSums)]prometheus.Counter
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
		work:         counter("parley_orchestration_work_total", "Items taken from WORK."),
		repeated:     counter("parley_orchestration_work_repeated_total", "Items that came again and had a session."),
		full:         counter("parley_orchestration_full_total", "Batches of work left to others because this node has its limit of sessions."),
		started:      counter("orsnode_total_strategies", "Sessions started on this node."),
		ended:        counter("parley_orchestration_sessions_ended_total", "Sessions whose script came to its end, or was stopped."),
		notStarted:   counter("orsnode_load_errors", "Sessions that could not be started or continued."),
		runaway:      counter("parley_orchestration_sessions_stopped_total", "Sessions stopped because they went beyond their limits."),
		takenOver:    counter("orsnode_ha_reads", "Records of sessions read back: sessions continued after their process was gone."),
		lost:         counter("parley_orchestration_sessions_lost_total", "Sessions that another process took over from this one while it ran."),
		events:       counter("orsnode_scxml_events", "Events given to sessions."),
		refused:      counter("parley_orchestration_events_refused_total", "Events that a session did not take: its queue was full, or they were too large."),
		saved:        counter("orsnode_ha_writes", "Records of sessions written."),
		unsaved:      counter("parley_orchestration_snapshot_failures_total", "Records of sessions that could not be written."),
		requests:     vec("parley_orchestration_requests_total", "Requests of scripts.", "action"),
		failed:       vec("parley_orchestration_requests_failed_total", "Requests of scripts that were answered by an error.", "action"),
		defaulted:    vec("parley_orchestration_default_routed_total", "Calls sent to the default destination because no script looked after them.", "tenant", "why"),
		redirected:   counter("orsnode_route_redirected", "EventRouteUsed of requests that no session made."),
		callEvents:   counter("orsnode_callevents", "Call events taken by sessions."),
		opened:       counter("orsnode_total_interactions", "Interactions that came to sessions."),
		cleared:      counter("orsnode_cleared_interactions", "Interactions that left their sessions."),
		entered:      counter("orsnode_scxml_transitions", "States entered by sessions."),
		scriptErrors: counter("orsnode_scxml_error_events", "Errors met by scripts."),
		asked:        counter("orsnode_http_fetch_requests", "Requests of session.fetch."),
		askErrors:    counter("orsnode_http_fetch_errors", "Requests of session.fetch that got no answer, or one with a status of 400 and more."),
		tlib: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orsnode_tlib_latency_msec", Help: "Milliseconds until a request about a call was answered.", Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000},
		}),
		fetches:   vec("parley_orchestration_fetches_total", "Answers to session.fetch, by status; 0 is none.", "code"),
		fetchTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "orsnode_http_fetch_duration", Help: "Seconds until services on the web answered session.fetch.", Buckets: prometheus.DefBuckets}),
		resolved:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "parley_orchestration_application_seconds", Help: "Time to find and compile the application of a call.", Buckets: prometheus.ExponentialBuckets(.0001, 4, 9)}),
	}
	for i, a := range actionSums {
		m.sums[i] = counter(a.name, a.help)
	}
	if reg == nil {
		return m
	}
	for _, c := range m.sums {
		reg.MustRegister(c)
	}
	reg.MustRegister(m.work, m.repeated, m.full, m.started, m.ended, m.notStarted, m.runaway, m.takenOver, m.lost, m.events, m.refused,
		m.saved, m.unsaved, m.requests, m.failed, m.defaulted, m.redirected, m.callEvents, m.opened, m.cleared, m.entered, m.scriptErrors, m.asked, m.askErrors, m.tlib, m.fetches, m.fetchTime, m.resolved,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "orsnode_strategies", Help: "Sessions on this node."},
			func() float64 { return float64(svc.Running()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "orsnode_interactions", Help: "Interactions that sessions of this node have."},
			func() float64 { return float64(svc.interactions()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "orsnode_cached_applications_size", Help: "Compiled documents that this node keeps."},
			func() float64 { return float64(svc.book.compiled()) }))
	obs.HealthGauge(reg, "orsnode_health_level", obs.ScaleLevel, health)
	return m
}

// fetched notes what a service on the web answered.
func (m *metrics) fetched(err error, a *answer, took time.Duration) {
	code := 0
	if err == nil {
		code = a.status
	}
	m.asked.Inc()
	if code == 0 || code >= 400 {
		m.askErrors.Inc()
	}
	m.fetches.WithLabelValues(strconv.Itoa(code)).Inc()
	m.fetchTime.Observe(took.Seconds())
}

// actionSums are counters of the catalogue that are sums over actions.
var actionSums = [...]struct {
	name, help string
	failed     bool
	match      func(action string) bool
}{
	{"orsnode_treatments", "Treatments that scripts asked for.", false, isTreatment},
	{"orsnode_failed_treatments", "Treatments that scripts asked for and that failed.", true, isTreatment},
	{"orsnode_userdata_updates", "Changes of user data that scripts asked for.", false, func(a string) bool { return strings.HasSuffix(a, "userdata") || a == "interaction.udata" }},
	{"orsnode_urs_scxml_submit_requests", "queue.submit of scripts.", false, func(a string) bool { return a == "queue.submit" }},
	{"orsnode_urs_scxml_cancel_requests", "queue.cancel of scripts.", false, func(a string) bool { return a == "queue.cancel" }},
}

func isTreatment(action string) bool { return strings.HasPrefix(action, "dialog.") }

// action notes that a script asked for something, or that it was answered by an error.
func (m *metrics) action(name string, failed bool) {
	if failed {
		m.failed.WithLabelValues(name).Inc()
	} else {
		m.requests.WithLabelValues(name).Inc()
	}
	for i, a := range actionSums {
		if a.failed == failed && a.match(name) {
			m.sums[i].Inc()
		}
	}
}
