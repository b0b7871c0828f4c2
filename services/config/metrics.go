package config

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
)

// metrics are the catalogue's of the config service and two of our own. A request is counted once, whether it came by
// REST or by a door; the status is that of HTTP in both cases.
type metrics struct {
	node    string
	known   func(tenant string) bool // keeps the label tenant to tenants there are
	devices *prometheus.CounterVec
	tenants *prometheus.CounterVec
	reads   prometheus.Counter
	agents  prometheus.Counter
	apply   *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, s *Service) *metrics {
	m := &metrics{
		node: s.fabric.Node(), known: s.knownTenant,
		devices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "config_device_response", Help: "Answers given to requests about directory numbers.",
		}, []string{"location", "tenant", "request_type", "status"}),
		tenants: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "config_tenant_response", Help: "Answers given to requests about tenants.",
		}, []string{"location", "request_type", "status"}),
		reads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "config_node_get_response", Help: "Answers given to read requests.",
		}),
		agents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "config_node_agent_response", Help: "Answers given to requests about persons.",
		}),
		apply: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_config_apply_seconds", Help: "Time of a provisioning file that was taken.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2, 5, 10, 30, 60},
		}, []string{"dry_run"}),
	}
	reg.MustRegister(m.devices, m.tenants, m.reads, m.agents, m.apply)
	obs.RedisState(reg, "config_redis_state", m.node, s.fabric.Connected)
	obs.HealthGauge(reg, "config_health_level", obs.ScaleError, s.health)
	obs.Gauge(reg, "config_healthcheck_generic_exception", "Whether the last health check itself failed in an unforeseen way: 1 = yes.", nil, func() float64 {
		if s.checkBroke.Load() {
			return 1
		}
		return 0
	})
	obs.Gauge(reg, "parley_config_unannounced_changes", "Changes on disk that are not on the stream CONFIG yet.", nil, func() float64 {
		return float64(s.announcer.waiting.Load())
	})
	return m
}

// statusOf is the HTTP status of the answer err makes.
func statusOf(err error) string {
	if err == nil {
		return "200"
	}
	if p, ok := errors.AsType[*httpapi.ProblemDetails](httpapi.Problem(err)); ok {
		return strconv.Itoa(p.Status)
	}
	return "500"
}

// answered counts one request.
func (m *metrics) answered(tenant string, kind voice.Kind, request string, err error) {
	status := statusOf(err)
	switch kind {
	case voice.KindDN:
		if tenant != "" && !m.known(tenant) {
			tenant = "(unknown)"
		}
		m.devices.WithLabelValues(m.node, tenant, request, status).Inc()
	case voice.KindTenant:
		m.tenants.WithLabelValues(m.node, request, status).Inc()
	case voice.KindPerson:
		m.agents.Inc()
	}
	switch request {
	case "get", "list", "history":
		m.reads.Inc()
	}
}

func (m *metrics) applied(took time.Duration, dryRun bool) {
	m.apply.WithLabelValues(strconv.FormatBool(dryRun)).Observe(took.Seconds())
}
