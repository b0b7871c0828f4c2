package watch

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
)

type metrics struct {
	refused *prometheus.CounterVec
	sent    *prometheus.CounterVec
}

func newMetrics(w *Watcher, reg prometheus.Registerer) *metrics {
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_sip_subscriptions_refused_total",
			Help: "SUBSCRIBEs to the dialogs of a number that were refused, by reason."}, []string{"reason"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_sip_notifications_total",
			Help: "NOTIFYs about the dialogs of a number, by the class of the answer; none means that there was none."}, []string{"answer"}),
	}
	reg.MustRegister(m.refused, m.sent)
	obs.Gauge(reg, "parley_sip_subscriptions", "Subscriptions to the dialogs of numbers.", nil, func() float64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		return float64(len(w.subs))
	})
	return m
}

// notified counts the answer to a NOTIFY; status 0 is none.
func (m *metrics) notified(status int) {
	class := "none"
	if status > 0 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.sent.WithLabelValues(class).Inc()
}
