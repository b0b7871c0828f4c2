package frontend

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/voice"
)

// metrics of the front end. The names without prefix parley_ are those of the family's catalogue.
type metrics struct {
	requests      *prometheus.CounterVec   // sipfe_requests_total
	responses     *prometheus.CounterVec   // sipfe_responses_total
	nodeRequests  *prometheus.CounterVec   // sipfe_sip_node_requests_total
	nodeResponses *prometheus.CounterVec   // sipfe_sip_node_responses_total
	nodeTime      *prometheus.HistogramVec // sipfe_sip_node_request_duration_seconds
	refused       *prometheus.CounterVec
	sent          prometheus.Counter
	closed        *prometheus.CounterVec
	resumes       *prometheus.CounterVec
}

// Why an event stream ended, as a label.
const (
	endClient  = "client"  // it went
	endSlow    = "slow"    // it did not take its events in time
	endToken   = "token"   // its token ended
	endStop    = "stop"    // the service stops
	endGone    = "history" // the events that it missed could not be read
	endInvalid = "invalid" // it sent what cannot be understood
)

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		requests:      counter("sipfe_requests_total", "Requests taken in.", "tenant"),
		responses:     counter("sipfe_responses_total", "Answers given to the requests taken in.", "tenant"),
		nodeRequests:  counter("sipfe_sip_node_requests_total", "Requests passed on to SIP nodes.", "sip_node_id", "tenant"),
		nodeResponses: counter("sipfe_sip_node_responses_total", "Answers that came back from SIP nodes.", "sip_node_id", "tenant", "status"),
		nodeTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sipfe_sip_node_request_duration_seconds", Help: "How long a SIP node takes to answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"sip_node_id", "tenant", "status"}),
		refused: counter("parley_frontend_refused_total", "Requests refused, by the code of EventError.", "tenant", "code"),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_frontend_events_sent_total", Help: "Events written to event streams of clients.",
		}),
		resumes: counter("parley_frontend_resumes_total", "Clients that went on from an id: all was in memory, or some of it in the streams.", "from"),
		closed:  counter("parley_frontend_streams_closed_total", "Event streams of clients that ended, by why.", "reason"),
	}
	for _, why := range []string{endClient, endSlow, endToken, endStop, endGone, endInvalid} {
		m.closed.WithLabelValues(why)
	}
	return m
}

// registerMetrics makes the metrics known to reg.
func (s *Service) registerMetrics(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	m := s.metrics
	reg.MustRegister(m.requests, m.responses, m.nodeRequests, m.nodeResponses, m.nodeTime, m.refused, m.sent, m.closed, m.resumes)
	reg.MustRegister(s.f.Collector(fabric.Metrics{
		"kafka_producer_queue_depth":        {"kafka_location"},
		"kafka_producer_queue_age_seconds":  {"kafka_location"},
		"kafka_producer_error_total":        {"kafka_location"},
		"kafka_producer_state":              {"kafka_location"},
		"kafka_producer_biggest_event_size": {"kafka_location", "topic"},
		"kafka_max_request_size":            {"kafka_location"},
	}))
	obs.HealthGauge(reg, "sipfe_health_level", obs.ScaleLevel, s.health)
	obs.Gauge(reg, "sipfe_sip_nodes_total", "SIP nodes alive at present.", nil, func() float64 { return float64(s.nodes.len()) })
	for _, check := range checks {
		obs.Gauge(reg, "sipfe_health_check_error", "Whether a health check failed for the given reason.", prometheus.Labels{"reason": check}, func() float64 {
			return s.failing(check)
		})
	}
	obs.Gauge(reg, "parley_frontend_streams", "Event streams of clients.", nil, func() float64 { return float64(s.open.len()) })
	obs.Gauge(reg, "parley_frontend_requests", "Requests in progress.", nil, func() float64 { return float64(s.busy.len()) })
}

// failing is 1 when a health check has failed.
func (s *Service) failing(check string) float64 {
	_, all := s.health.Report()
	for _, c := range all {
		if c.Name == check && c.Level == obs.LevelFail {
			return 1
		}
	}
	return 0
}

// answered counts the answer to a request.
func (m *metrics) answered(tenant string, a *contract.RequestAnswer) {
	m.responses.WithLabelValues(tenant).Inc()
	if a.Error != nil {
		m.refused.WithLabelValues(tenant, strconv.Itoa(int(a.Error.Code))).Inc()
	}
}

// statusOf is the status of what a node answered: ok, the code of EventError, or why it could not be asked.
func statusOf(a *contract.RequestAnswer, err error) string {
	switch {
	case err != nil:
		return string(voice.CodeOf(err))
	case a.Error != nil:
		return strconv.Itoa(int(a.Error.Code))
	}
	return "ok"
}

func (m *metrics) nodeAnswered(node, tenant, status string, took time.Duration) {
	m.nodeResponses.WithLabelValues(node, tenant, status).Inc()
	m.nodeTime.WithLabelValues(node, tenant, status).Observe(took.Seconds())
}

// resumed counts a client that went on from an id; memory tells whether the ring had all it needed.
func (m *metrics) resumed(memory bool) {
	from := "streams"
	if memory {
		from = "memory"
	}
	m.resumes.WithLabelValues(from).Inc()
}
