package sipproxy

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

// latencyBuckets has one at 1 s, where the alert of the catalogue draws its line.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Values of the label request_direction.
const (
	inbound  = "inbound"  // from phones and trunks to SIP nodes
	outbound = "outbound" // from SIP nodes to phones
)

type metrics struct {
	requests, self                            methodCounters
	rejected, reselected, malformed, strays   prometheus.Counter
	registers, registersRejected              prometheus.Counter
	forwarded, responses                      *prometheus.CounterVec
	latency                                   *prometheus.HistogramVec
	registrarLatency                          prometheus.Observer
	nodeRecordErrors, watchErrors             prometheus.Counter
	keepAlives, abuseLost, looped, flowFailed prometheus.Counter
	foreignPasses, found, notFound            prometheus.Counter
	configUp                                  atomic.Bool
	tenants                                   atomic.Int64 // as the config service said last
}

// methodCounters is a counter vector with one label method of a closed set, looked up once.
type methodCounters map[string]prometheus.Counter

var methods = []string{"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH",
	"MESSAGE", "INFO", "PRACK", "UPDATE", "REFER", "other"}

func (m methodCounters) of(method string) prometheus.Counter { return m[method] }

// newMetrics registers the front door's metrics of the catalogue. Absent, because nothing here would be measured by
// them: kafka_* (the front door neither publishes nor consumes), http_client_* (it calls doors, not URLs) and
// sipproxy_envoy_proxy_status (there is no sidecar, and the doors it could stand for have names of their own). The
// consul names count the bucket "nodes", which is where nodes are discovered here.
func newMetrics(reg *prometheus.Registry, s *Service) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	byMethod := func(name, help string) methodCounters {
		v, m := vec(name, help, "method"), methodCounters{}
		for _, method := range methods {
			m[method] = v.WithLabelValues(method)
		}
		return m
	}
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sipproxy_response_latency", Help: "Seconds from passing a SIP request on to its first response.", Buckets: latencyBuckets,
	}, []string{"sip_node_id", "request_direction", "target", "node_in_cache"})
	reg.MustRegister(latency)
	m := &metrics{
		requests:          byMethod("sipproxy_requests_total", "SIP requests taken in."),
		self:              byMethod("sipproxy_requests_processed_self_total", "SIP requests the proxy answered on its own."),
		rejected:          counter("sipproxy_rejected_requests_total", "SIP requests turned away."),
		reselected:        counter("sipproxy_requests_sip_node_reselected_total", "Times another SIP node had to be chosen for a request."),
		registers:         counter("sipproxy_register_processed_total", "REGISTER requests taken in for processing."),
		registersRejected: counter("sipproxy_register_rejected_total", "REGISTER requests turned away, challenges not counted."),
		forwarded:         vec("sipproxy_requests_forwarded_total", "SIP requests passed on.", "method", "request_direction", "sip_node_id"),
		responses:         vec("sipproxy_responses_forwarded_total", "SIP responses passed on.", "method", "sip_node_id", "request_direction"),
		latency:           latency,
		registrarLatency:  latency.WithLabelValues("", inbound, "registrar", "true"),
		nodeRecordErrors:  counter("sipproxy_consul_record_processing_errors_count", "Records of the bucket nodes that could not be read."),
		watchErrors:       counter("sipproxy_consul_errors_count", "Watches on the buckets nodes and bans that broke."),
		malformed:         counter("parley_sipproxy_malformed_total", "Messages that are not SIP, or not well-formed."),
		strays:            counter("parley_sipproxy_strays_total", "Responses and ACKs that belong to nothing here."),
		keepAlives:        counter("parley_sipproxy_keepalives_sent_total", "Keep-alives sent to phones behind NAT."),
		abuseLost:         counter("parley_sipproxy_abuse_reports_lost_total", "Reports of abuse the registrar did not take."),
		looped:            counter("parley_sipproxy_loops_total", "Requests that came back to us unchanged."),
		flowFailed:        counter("parley_sipproxy_flow_failed_total", "Requests to phones whose connection is gone."),
	}
	m.foreignPasses = counter("parley_sipproxy_foreign_passes_total", "Requests of other nodes refused, since they came from an address no node announces.")
	m.found = counter("parley_sipproxy_dialogs_found_total", "Dialogs found on another node than their token names, since that node died or handed them on.")
	m.notFound = counter("parley_sipproxy_dialogs_not_found_total", "Dialogs that no node has, though a token of ours names one.")
	m.gauges(reg, s)
	return m
}

func (m *metrics) gauges(reg *prometheus.Registry, s *Service) {
	gauge := func(name, help string, value func() float64) { obs.Gauge(reg, name, help, nil, value) }
	obs.HealthGauge(reg, "sipproxy_health_level", obs.ScaleLevel, s.health)
	obs.LinkState(reg, "sipproxy_config_node_status", "Whether the config service answers: 1 yes, 0 no.", nil,
		func() (bool, string) { return m.configUp.Load(), "" })
	gauge("sipproxy_calls_per_second_count", "New calls a second, mean of the last ten.", s.rate.PerSecond)
	gauge("sipproxy_active_sip_nodes_count", "SIP nodes active at present: alive and not draining.", func() float64 {
		_, active := s.nodes.counts()
		return float64(active)
	})
	gauge("sipproxy_sip_nodes_count", "SIP nodes discovered, active or not.", func() float64 {
		known, _ := s.nodes.counts()
		return float64(known)
	})
	gauge("sipproxy_tenants_count", "Tenants discovered.", func() float64 { return float64(m.tenants.Load()) })
	gauge("sip_proxy_contexts_count", "Forwarding contexts open at present.", func() float64 { return float64(s.contexts.Load()) })
	gauge("parley_sipproxy_registers_in_progress", "REGISTER requests at the registrar at present.", func() float64 { return float64(s.registering.Load()) })
	gauge("parley_sipproxy_bindings", "Connections and NATed sources known to carry registrations.", func() float64 { return float64(s.alive.n.Load()) })
	reg.MustRegister(nodeCapacity{s.nodes})
}

// nodeCapacity shows, for the nodes of the moment, whether each has room left.
type nodeCapacity struct{ nodes *nodeTable }

var descCapacity = prometheus.NewDesc("sipproxy_sip_node_is_capacity_available",
	"Whether the SIP node can take more calls: 1 yes, 0 no.", []string{"sip_node_id"}, nil)

// Describe implements prometheus.Collector.
func (c nodeCapacity) Describe(ch chan<- *prometheus.Desc) { ch <- descCapacity }

// Collect implements prometheus.Collector.
func (c nodeCapacity) Collect(ch chan<- prometheus.Metric) {
	for _, n := range c.nodes.cur.Load().list {
		v := 0.0
		if l := n.now(); !l.Draining && free(l) {
			v = 1
		}
		ch <- prometheus.MustNewConstMetric(descCapacity, prometheus.GaugeValue, v, n.id)
	}
}
