package registrar

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// statuses are the answers that a REGISTER can get here.
var statuses = [...]int{200, 400, 401, 403, 404, 420, 423, 500, 503}

// metrics of the registrar. The names without prefix parley_ are those of the family's catalogue.
type metrics struct {
	handled *prometheus.CounterVec   // registrar_register_count
	latency *prometheus.HistogramVec // registrar_request_latency

	responses   map[int]prometheus.Counter
	verdicts    [digest.Retransmission + 1]prometheus.Counter
	inService   prometheus.Counter
	outService  prometheus.Counter
	eventsLost  prometheus.Counter
	conflicts   prometheus.Counter
	storeErrors prometheus.Counter
	dropped     prometheus.Counter
	bansMade    *prometheus.CounterVec
	bansLifted  prometheus.Counter
	bansRefused prometheus.Counter

	location string
}

// tenantMetrics are the series of one tenant, looked up once.
type tenantMetrics struct {
	handled prometheus.Counter
	latency prometheus.Observer
}

func (m *metrics) tenant(name string) tenantMetrics {
	return tenantMetrics{
		handled: m.handled.WithLabelValues(m.location, name),
		latency: m.latency.WithLabelValues(m.location, name),
	}
}

func (m *metrics) response(status int) {
	if c := m.responses[status]; c != nil {
		c.Inc()
	}
}

func (m *metrics) verdict(v digest.Verdict) { m.verdicts[v].Inc() }

func (m *metrics) event(name voice.EventName) {
	if name == voice.EventDNOutOfService {
		m.outService.Inc()
		return
	}
	m.inService.Inc()
}

func newMetrics(location string) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		location: location,
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "registrar_register_count", Help: "REGISTER requests answered.",
		}, []string{"location", "tenant"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "registrar_request_latency", Help: "Time to answer a REGISTER, in milliseconds, storing included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000},
		}, []string{"location", "tenant"}),
		eventsLost:  counter("parley_registrar_events_lost_total", "Device events that the fabric did not take."),
		conflicts:   counter("parley_registrar_store_conflicts_total", "Writes that another node was faster with."),
		storeErrors: counter("parley_registrar_store_errors_total", "REGISTER requests whose bindings could not be read or stored."),
		dropped:     counter("parley_registrar_dropped_total", "REGISTER requests of banned sources, not answered."),
		bansLifted:  counter("parley_registrar_bans_lifted_total", "Bans lifted by hand on this node."),
		bansRefused: counter("parley_registrar_bans_refused_total", "Bans not made because there are too many."),
		bansMade: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_registrar_bans_made_total", Help: "Bans made on this node, by the registrar or by an operator.",
		}, []string{"by"}),
	}
}

// registerMetrics makes the metrics, and those that are asked for at each scrape, known to reg.
func (s *Service) registerMetrics(reg prometheus.Registerer, f *fabric.Fabric) {
	m := s.metrics
	responses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_registrar_responses_total", Help: "Answers to REGISTER requests by status.",
	}, []string{"code"})
	m.responses = map[int]prometheus.Counter{}
	for _, code := range statuses {
		m.responses[code] = responses.WithLabelValues(strconv.Itoa(code))
	}
	verdicts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_registrar_credentials_total", Help: "Credentials judged, by outcome.",
	}, []string{"verdict"})
	for v := range m.verdicts {
		m.verdicts[v] = verdicts.WithLabelValues(digest.Verdict(v).String())
	}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "parley_registrar_events_total", Help: "Device events published.",
	}, []string{"event"})
	m.inService = events.WithLabelValues(string(voice.EventDNBackInService))
	m.outService = events.WithLabelValues(string(voice.EventDNOutOfService))

	if reg == nil {
		return
	}
	reg.MustRegister(m.handled, m.latency, responses, verdicts, events, m.eventsLost, m.conflicts, m.storeErrors,
		m.dropped, m.bansMade, m.bansLifted, m.bansRefused, &tenantGauges{index: s.index})
	obs.HealthGauge(reg, "registrar_health_level", obs.ScaleLevel, s.health)
	obs.Gauge(reg, "parley_registrar_bans", "Bans in force.", nil, func() float64 { return float64(s.bans.count.Load()) })
	obs.Gauge(reg, "parley_registrar_failing_sources", "Sources with failures that are remembered.", nil,
		func() float64 { return float64(s.failures.used.Load()) })
	if f != nil {
		obs.RedisState(reg, "registrar_redis_state", m.location, f.Connected)
		reg.MustRegister(f.Collector(fabric.Metrics{
			"kafka_consumer_latency":     {"tenant", "topic"},
			"kafka_consumer_state":       {},
			"kafka_consumer_error_total": {"topic", "kafka_location"},
			"kafka_producer_state":       {"kafka_location"},
		}))
	}
}

// tenantGauges reads the counts of the index when it is asked.
type tenantGauges struct{ index *index }

var (
	registeredDesc = prometheus.NewDesc("registrar_active_sip_registrations", "Numbers with a SIP contact in force.", []string{"tenant"}, nil)
	contactsDesc   = prometheus.NewDesc("parley_registrar_contacts", "SIP contacts in force.", []string{"tenant"}, nil)
)

// Describe is part of prometheus.Collector.
func (g *tenantGauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- registeredDesc
	ch <- contactsDesc
}

// Collect is part of prometheus.Collector.
func (g *tenantGauges) Collect(ch chan<- prometheus.Metric) {
	g.index.tenants.Range(func(_, v any) bool {
		t := v.(*tenant)
		ch <- prometheus.MustNewConstMetric(registeredDesc, prometheus.GaugeValue, float64(t.registered.Load()), t.name)
		ch <- prometheus.MustNewConstMetric(contactsDesc, prometheus.GaugeValue, float64(t.contacts.Load()), t.name)
		return true
	})
}
