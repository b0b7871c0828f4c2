package fabric_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
)

// metric is the sum of all values of a metric of f.
func metric(t testing.TB, f *fabric.Fabric, name string) float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(f.Collector(fabric.AllMetrics())); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, mf := range families {
		if mf.GetName() != name {
			continue
		}
		for _, m := range mf.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// TestCollector: each registry shows what it asks for, and what it leaves out is summed over.
func TestCollector(t *testing.T) {
	f := fabrictest.New(t)
	ctx := testContext(t)
	events := subscribe(t, f, fabric.StreamCalls, "", fabric.From{})
	for _, s := range []string{fabric.Subject("call", "a", "1", "E"), fabric.Subject("call", "b", "1", "E"), fabric.Subject("device", "a", "1", "E")} {
		if _, err := f.PublishSync(ctx, fabric.Event{Subject: s, Payload: []byte("12345")}); err != nil {
			t.Fatal(err)
		}
	}
	next(t, events)
	next(t, events)
	full, bare := prometheus.NewPedanticRegistry(), prometheus.NewPedanticRegistry()
	full.MustRegister(f.Collector(fabric.Metrics{
		"kafka_producer__messages_total":     {"topic", "tenant", "kafka_location"},
		"kafka_producer_biggest_event_size":  {"kafka_location", "topic"},
		"kafka_consumer_recv_messages_total": {"topic", "tenant", "kafka_location"},
	}))
	bare.MustRegister(f.Collector(fabric.Metrics{
		"kafka_producer__messages_total":     nil,
		"kafka_consumer_recv_messages_total": nil,
		"kafka_consumer_state":               nil,
		"kafka_max_request_size":             {"kafka_location"},
	}))
	for reg, want := range map[*prometheus.Registry]string{
		full: `
# HELP kafka_consumer_recv_messages_total Events delivered to subscriptions.
# TYPE kafka_consumer_recv_messages_total counter
kafka_consumer_recv_messages_total{kafka_location="jetstream",tenant="a",topic="CALLS"} 1
kafka_consumer_recv_messages_total{kafka_location="jetstream",tenant="b",topic="CALLS"} 1
# HELP kafka_producer__messages_total Events stored in a stream.
# TYPE kafka_producer__messages_total counter
kafka_producer__messages_total{kafka_location="jetstream",tenant="a",topic="CALLS"} 1
kafka_producer__messages_total{kafka_location="jetstream",tenant="a",topic="DEVICES"} 1
kafka_producer__messages_total{kafka_location="jetstream",tenant="b",topic="CALLS"} 1
# HELP kafka_producer_biggest_event_size Largest event stored since the start, in bytes.
# TYPE kafka_producer_biggest_event_size gauge
kafka_producer_biggest_event_size{kafka_location="jetstream",topic="CALLS"} 5
kafka_producer_biggest_event_size{kafka_location="jetstream",topic="DEVICES"} 5
`,
		bare: `
# HELP kafka_consumer_recv_messages_total Events delivered to subscriptions.
# TYPE kafka_consumer_recv_messages_total counter
kafka_consumer_recv_messages_total 2
# HELP kafka_consumer_state Whether subscriptions have their connection: 0 = no, 1 = yes.
# TYPE kafka_consumer_state gauge
kafka_consumer_state 1
# HELP kafka_max_request_size Largest message the JetStream server takes, in bytes.
# TYPE kafka_max_request_size gauge
kafka_max_request_size{kafka_location="jetstream"} 8.388608e+06
# HELP kafka_producer__messages_total Events stored in a stream.
# TYPE kafka_producer__messages_total counter
kafka_producer__messages_total 3
`,
	} {
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	if n := testutil.CollectAndCount(f.Collector(fabric.AllMetrics()), "kafka_consumer_latency"); n != 2 {
		t.Errorf("%d latency histograms, want one a tenant", n)
	}
}
