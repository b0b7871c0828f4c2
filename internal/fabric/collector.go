package fabric

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sample is one value of one metric with all labels it could have.
type sample struct {
	topic, tenant string
	value         float64
	hist          *flowCounts // histograms
}

// kind is one metric of the fabric.
type kind struct {
	name   string
	help   string
	labels []string
	typ    prometheus.ValueType // 0 = histogram
	max    bool                 // summing over a label left out takes the biggest, not the sum
	read   func(f *Fabric) []sample
}

var (
	perFlow     = []string{"topic", "tenant", "kafka_location"}
	perTopic    = []string{"topic", "kafka_location"}
	perLocation = []string{"kafka_location"}
)

// kinds are the catalogue's metrics that the fabric can tell the truth about.
var kinds = [...]kind{
	{"kafka_producer__messages_total", "Events stored in a stream.", perFlow, prometheus.CounterValue, false, (*Fabric).sentSamples},
	{"kafka_producer_sent_messages_total", "Events stored in a stream.", perFlow, prometheus.CounterValue, false, (*Fabric).sentSamples},
	{"kafka_producer_queue_depth", "Events still waiting to be stored.", perLocation, prometheus.GaugeValue, false, (*Fabric).depthSample},
	{"kafka_producer_queue_age_seconds", "How long the oldest unstored event has been waiting.", perLocation, prometheus.GaugeValue, true, (*Fabric).ageSample},
	{"kafka_producer_error_total", "Attempts to store an event that failed, and events lost.", perLocation, prometheus.CounterValue, false, (*Fabric).errorSample},
	{"kafka_producer_dropped_event_number", "Events lost unstored.", nil, prometheus.GaugeValue, false, (*Fabric).lostSample},
	{"kafka_producer_state", "Whether the connection to the JetStream is up: 0 = no, 1 = yes.", perLocation, prometheus.GaugeValue, true, (*Fabric).stateSample},
	{"kafka_producer_biggest_event_size", "Largest event stored since the start, in bytes.", []string{"kafka_location", "topic"}, prometheus.GaugeValue, true, (*Fabric).biggestSamples},
	{"kafka_max_request_size", "Largest message the JetStream server takes, in bytes.", perLocation, prometheus.GaugeValue, true, (*Fabric).maxSizeSample},
	{"kafka_consumer_recv_messages_total", "Events delivered to subscriptions.", perFlow, prometheus.CounterValue, false, (*Fabric).receivedSamples},
	{"kafka_consumer_latency", "Age in seconds of an event when it is delivered, since it was stored.", perFlow, 0, false, (*Fabric).latencySamples},
	{"kafka_consumer_error_total", "Faults met while following a stream: gaps, silence, broken connections.", perTopic, prometheus.CounterValue, false, (*Fabric).consumerErrorSamples},
	{"kafka_consumer_rebalance_total", "Times a subscription's consumer had to be made anew.", perTopic, prometheus.CounterValue, false, (*Fabric).anewSamples},
	{"kafka_consumer_state", "Whether subscriptions have their connection: 0 = no, 1 = yes.", perTopic, prometheus.GaugeValue, true, (*Fabric).consumerStateSamples},
}

// Collector returns what Prometheus may ask of this fabric, cut to the metrics and labels a service shows. It may be
// registered on any number of registries; one made of metrics that the fabric does not have panics, as it is a
// programming error.
func (f *Fabric) Collector(m Metrics) prometheus.Collector {
	c := &collector{f: f}
	for name, labels := range m {
		i := slices.IndexFunc(kinds[:], func(k kind) bool { return k.name == name })
		if i < 0 {
			panic("fabric: no metric " + name)
		}
		for _, l := range labels {
			if !slices.Contains(perFlow, l) {
				panic("fabric: metric " + name + " has no label " + l)
			}
		}
		c.shown = append(c.shown, shown{kinds[i], labels, prometheus.NewDesc(name, kinds[i].help, labels, nil)})
	}
	return c
}

type shown struct {
	kind   kind
	labels []string
	desc   *prometheus.Desc
}

type collector struct {
	f     *Fabric
	shown []shown
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, s := range c.shown {
		ch <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.shown {
		for _, g := range group(s.kind, s.labels, s.kind.read(c.f)) {
			if s.kind.typ == 0 {
				ch <- g.histogram(s.desc)
				continue
			}
			ch <- prometheus.MustNewConstMetric(s.desc, s.kind.typ, g.value, g.labels...)
		}
	}
}

// grouped is samples that agree in the labels shown.
type grouped struct {
	labels  []string
	value   float64
	count   uint64
	sum     float64
	buckets []uint64
}

func group(k kind, labels []string, samples []sample) []*grouped {
	byKey := map[string]*grouped{}
	var out []*grouped
	for _, s := range samples {
		vals := make([]string, len(labels))
		for i, l := range labels {
			switch l {
			case "topic":
				vals[i] = s.topic
			case "tenant":
				vals[i] = strings.ToValidUTF8(s.tenant, "?")
			default:
				vals[i] = location
			}
		}
		key := strings.Join(vals, "\x00")
		g := byKey[key]
		if g == nil {
			g = &grouped{labels: vals, buckets: make([]uint64, len(latencyBuckets))}
			byKey[key] = g
			out = append(out, g)
		}
		if k.max {
			g.value = max(g.value, s.value)
		} else {
			g.value += s.value
		}
		if s.hist != nil {
			g.count += s.hist.received
			g.sum += s.hist.sum
			for i, n := range s.hist.buckets {
				g.buckets[i] += n
			}
		}
	}
	return out
}

func (g *grouped) histogram(desc *prometheus.Desc) prometheus.Metric {
	cumulative := make(map[float64]uint64, len(latencyBuckets))
	var n uint64
	for i, le := range latencyBuckets {
		n += g.buckets[i]
		cumulative[le] = n
	}
	return prometheus.MustNewConstHistogram(desc, g.count, g.sum, cumulative, g.labels...)
}

func (f *Fabric) sentSamples() (out []sample) {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	for k, n := range f.pub.counts.sent {
		out = append(out, sample{topic: k.topic, tenant: k.tenant, value: float64(n)})
	}
	return out
}

func (f *Fabric) biggestSamples() (out []sample) {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	for topic, n := range f.pub.counts.size {
		out = append(out, sample{topic: topic, value: float64(n)})
	}
	return out
}

func (f *Fabric) depthSample() []sample {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	return []sample{{value: float64(f.pub.waiting)}}
}

func (f *Fabric) ageSample() []sample {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	if f.pub.all.head == nil {
		return []sample{{}}
	}
	return []sample{{value: time.Since(f.pub.all.head.queued).Seconds()}}
}

func (f *Fabric) errorSample() []sample {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	return []sample{{value: float64(f.pub.counts.errors)}}
}

func (f *Fabric) lostSample() []sample {
	f.pub.mu.Lock()
	defer f.pub.mu.Unlock()
	return []sample{{value: float64(f.pub.counts.lost)}}
}

func (f *Fabric) stateSample() []sample { return []sample{{value: f.up()}} }

func (f *Fabric) up() float64 {
	if f.nc.IsConnected() {
		return 1
	}
	return 0
}

func (f *Fabric) maxSizeSample() []sample { return []sample{{value: float64(f.nc.MaxPayload())}} }

func (f *Fabric) receivedSamples() (out []sample) {
	f.consumed.mu.Lock()
	defer f.consumed.mu.Unlock()
	for k, n := range f.consumed.flows {
		out = append(out, sample{topic: k.topic, tenant: k.tenant, value: float64(n.received)})
	}
	return out
}

func (f *Fabric) latencySamples() (out []sample) {
	f.consumed.mu.Lock()
	defer f.consumed.mu.Unlock()
	for k, n := range f.consumed.flows {
		own := *n
		own.buckets = slices.Clone(n.buckets)
		out = append(out, sample{topic: k.topic, tenant: k.tenant, hist: &own})
	}
	return out
}

func (f *Fabric) consumerErrorSamples() []sample {
	return f.topicSamples(func(t *topicCounts) float64 { return float64(t.errors) })
}

func (f *Fabric) anewSamples() []sample {
	return f.topicSamples(func(t *topicCounts) float64 { return float64(t.anew) })
}

func (f *Fabric) consumerStateSamples() []sample {
	up := f.up()
	return f.topicSamples(func(t *topicCounts) float64 {
		if t.attached == 0 {
			return 0
		}
		return up
	})
}

func (f *Fabric) topicSamples(value func(*topicCounts) float64) (out []sample) {
	f.consumed.mu.Lock()
	defer f.consumed.mu.Unlock()
	for topic, t := range f.consumed.topics {
		out = append(out, sample{topic: topic, value: value(t)})
	}
	return out
}
