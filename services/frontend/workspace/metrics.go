package workspace

import "github.com/prometheus/client_golang/prometheus"

// metrics are the package's own; the catalogue names none for it.
type metrics struct {
	requests *prometheus.CounterVec // verb
	refused  prometheus.Counter
	messages prometheus.Counter
	dropped  *prometheus.CounterVec // reason: slow, silent, replaced
}

func newMetrics(reg prometheus.Registerer, sessions, clients func() int) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_workspace_requests_total", Help: "Verbs of the workspace interface that became requests about calls, by verb.",
		}, []string{"verb"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_workspace_refused_total", Help: "Requests of the workspace interface that were refused.",
		}),
		messages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "parley_workspace_messages_total", Help: "Messages put into queues of push clients.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_workspace_clients_dropped_total", Help: "Push clients that were dropped, by reason.",
		}, []string{"reason"}),
	}
	for _, r := range []string{dropSlow, dropSilent, dropReplaced} {
		m.dropped.WithLabelValues(r)
	}
	for verb := range verbs {
		m.requests.WithLabelValues(verb)
	}
	if reg != nil {
		gauge := func(name, help string, count func() int) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(count()) })
		}
		reg.MustRegister(m.requests, m.refused, m.messages, m.dropped,
			gauge("parley_workspace_sessions", "Sessions of desktops on this node.", sessions),
			gauge("parley_workspace_clients", "Clients of the push channel on this node.", clients))
	}
	return m
}

// Why a push client was dropped.
const (
	dropSlow     = "slow"     // too much waited for it
	dropSilent   = "silent"   // it did not come back
	dropReplaced = "replaced" // its session opened too many
)
