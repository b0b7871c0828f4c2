package callstate

import (
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/services/callstate/model"
)

// metrics of the service. Names that begin with callthread_ are those of the catalogue.
type metrics struct {
	events     prometheus.Counter
	violations *prometheus.CounterVec
	exception  prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_callstate_events_total", Help: "Events of calls taken in, those read again at the start too.",
		}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_callstate_violations_total", Help: "Times that an invariant of calls did not hold, by kind; each is to stay 0.",
		}, []string{"kind"}),
		exception: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callthread_healthcheck_generic_exception", Help: "Whether the last check of calls could not ask every node: 1 = yes.",
		}),
	}
	for _, k := range model.Kinds() {
		m.violations.WithLabelValues(string(k))
	}
	return m
}

func (s *Service) registerMetrics(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	m := s.metrics
	reg.MustRegister(m.events, m.violations, m.exception)
	// The catalogue types it a counter, although it is what is there at the moment.
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "callthread_call_threads", Help: "Call threads being followed at present."}, func() float64 {
		_, threads := s.model.Count()
		return float64(threads)
	}))
	obs.Gauge(reg, "parley_callstate_calls", "Calls in progress, of all nodes.", nil, func() float64 {
		calls, _ := s.model.Count()
		return float64(calls)
	})
	obs.Gauge(reg, "parley_callstate_waiting", "Calls with events that wait for others.", nil, func() float64 { return float64(s.model.Waiting()) })
	obs.HealthGauge(reg, "callthread_health_level", obs.ScaleError, s.health)
	obs.Gauge(reg, "callthread_redis_state", "State of the link to the JetStream: -1 error, 0 disconnected, 1 connected, 2 ready.", nil, func() float64 {
		if ok, _ := s.f.Connected(); ok {
			return float64(obs.StateReady)
		}
		return float64(obs.StateDisconnected)
	})
	reg.MustRegister(s.f.Collector(fabric.Metrics{
		"kafka_consumer_recv_messages_total": {"topic", "tenant", "kafka_location"},
		"kafka_consumer_error_total":         {"topic", "kafka_location"},
		"kafka_consumer_latency":             {"topic", "tenant", "kafka_location"},
		"kafka_consumer_rebalance_total":     {"topic", "kafka_location"},
		"kafka_consumer_state":               {"topic", "kafka_location"},
	}))
}
