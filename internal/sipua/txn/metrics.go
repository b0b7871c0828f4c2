package txn

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	serversCreated, serversDeleted, clientsCreated, clientsDeleted prometheus.Counter
	rejected, swept, overflow, panics                              prometheus.Counter
}

// newMetrics registers the transaction metrics of the catalogue, and three of our own; a nil registerer counts in vain.
func newMetrics(reg prometheus.Registerer, l *Layer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	gauge := func(name, help string, value func() int) {
		if reg != nil {
			reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
		}
	}
	gauge("sip_server_transactions_count", "SIP server transactions open at present.", l.Servers)
	gauge("sip_client_transactions_count", "SIP client transactions open at present.", l.Clients)
	gauge("parley_sip_messages_waiting", "SIP messages read and not yet handled.", l.Waiting)
	return &metrics{
		serversCreated: counter("sip_server_transactions_created_total", "SIP server transactions opened."),
		serversDeleted: counter("sip_server_transactions_deleted_total", "SIP server transactions closed."),
		clientsCreated: counter("sip_client_transactions_created_total", "SIP client transactions opened."),
		clientsDeleted: counter("sip_client_transactions_deleted_total", "SIP client transactions closed."),
		rejected:       counter("sip_server_transactions_rejected_total", "SIP server transactions refused because there were too many."),
		swept:          counter("parley_sip_transactions_swept_total", "SIP transactions ended by age because nobody answered them."),
		overflow:       counter("parley_sip_messages_overflow_total", "SIP messages not taken because too many were waiting."),
		panics:         counter("parley_sip_panics_total", "SIP messages lost to a defect in the code that handled them."),
	}
}
