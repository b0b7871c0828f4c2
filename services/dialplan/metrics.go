package dialplan

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

// metrics of the dial plan. The names without prefix parley_ are those of the family's catalogue.
type metrics struct {
	node     string
	requests *prometheus.CounterVec // dialplan_total_request
	failures *prometheus.CounterVec // dialplan_failure_response
	time     prometheus.Histogram   // dialplan_response_time
	loads    prometheus.Counter
}

// The values of operation_type.
const (
	operationResolve = "resolve" // for a call
	operationExplain = "explain" // for people
)

func newMetrics(node string) *metrics {
	return &metrics{
		node: node,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialplan_total_request", Help: "Dial plan requests taken in.",
		}, []string{"tenant", "pod", "operation_type"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dialplan_failure_response", Help: "Dial plan requests answered with a failure: numbers that lead nowhere, by SIP status.",
		}, []string{"tenant", "pod", "operation_type", "status", "reason"}),
		time: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dialplan_response_time", Help: "How long a dial plan request takes to serve, in milliseconds.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5, 25, 100, 500, 2000},
		}),
		loads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_dialplan_loads_total", Help: "Times that the plan of a tenant, or all plans, were loaded from the config service.",
		}),
	}
}

// registerMetrics makes the metrics known to reg. dialplan_redis_state has values of its own: 0 disconnected, 2 connected.
func (s *Service) registerMetrics(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	m := s.metrics
	reg.MustRegister(m.requests, m.failures, m.time, m.loads)
	obs.HealthGauge(reg, "dialplan_health_level", obs.ScaleLevel, s.health)
	obs.Gauge(reg, "dialplan_redis_state", "State of the link to the JetStream: 0 disconnected, 1 connecting, 2 connected.",
		prometheus.Labels{"redis_cluster_name": obs.JetStream}, func() float64 {
			if ok, _ := s.fabric.Connected(); ok {
				return 2
			}
			return 0
		})
	obs.Gauge(reg, "parley_dialplan_tenants", "Tenants that have trunks, route points, partitions or calling profiles.", nil, func() float64 {
		if plans := s.plans.Load(); plans != nil {
			return float64(len(*plans))
		}
		return 0
	})
}

// resolved counts one request that was answered. refused is "" unless it goes nowhere.
func (m *metrics) resolved(tenant string, explain bool, status int, refused string, took time.Duration) {
	operation := operationResolve
	if explain {
		operation = operationExplain
	}
	m.requests.WithLabelValues(tenant, m.node, operation).Inc()
	if refused != "" {
		m.failures.WithLabelValues(tenant, m.node, operation, strconv.Itoa(status), refused).Inc()
	}
	m.time.Observe(float64(took) / float64(time.Millisecond))
}
