package sip

import (
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/voice"
)

// voiceMetrics tell how the voice of legs was, once a leg at its end. The catalogue of metrics knows no audio.
type voiceMetrics struct {
	mos, jitter, loss, trip *prometheus.HistogramVec
	lost                    prometheus.Counter
}

func newVoiceMetrics(reg prometheus.Registerer) voiceMetrics {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "parley_sip_voice_" + name, Help: help, Buckets: buckets}, labels)
	}
	const way = "direction" // received from the party, or sent to it
	m := voiceMetrics{
		// The limits between the categories of satisfaction (ITU-T G.107 Annex B).
		mos:    histogram("mos", "Mean opinion score of a leg at its end, of conversation where the delay is known.", []float64{1.5, 2, 2.58, 3.1, 3.35, 3.6, 3.8, 4.03, 4.2, 4.34, 4.45}, way),
		jitter: histogram("jitter_seconds", "Interarrival jitter of a leg at its end (RFC 3550).", []float64{.0005, .001, .002, .005, .01, .02, .03, .05, .1, .2}, way),
		loss:   histogram("loss_ratio", "Share of the packets of a leg that did not arrive.", []float64{0, .001, .0025, .005, .01, .02, .03, .05, .1, .2, .5}, way),
		trip:   histogram("round_trip_seconds", "Round trip to the party, the last that was measured.", []float64{.005, .01, .02, .05, .1, .15, .2, .3, .4, .6, 1, 2}),
		lost:   prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sip_voice_events_lost_total", Help: "Events about the voice of calls that could not be stored."}),
	}
	reg.MustRegister(m.mos, m.jitter, m.loss, m.trip, m.lost)
	return m
}

// observe counts what is known of a leg that is over.
func (m *voiceMetrics) observe(e *voice.QualityEvent) {
	for way, q := range map[string]*voice.VoiceQuality{"received": &e.Whole.Received, "sent": &e.Whole.Sent} {
		if mos := q.MOS(); mos > 0 {
			m.mos.WithLabelValues(way).Observe(mos)
		}
		if q.Jitter != nil {
			m.jitter.WithLabelValues(way).Observe(*q.Jitter / 1000)
		}
		if q.Loss != nil {
			m.loss.WithLabelValues(way).Observe(*q.Loss / 100)
		}
	}
	if e.Whole.RoundTrip != nil {
		m.trip.WithLabelValues().Observe(*e.Whole.RoundTrip / 1000)
	}
}
