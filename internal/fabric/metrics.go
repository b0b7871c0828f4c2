package fabric

import (
	"sync"
	"time"
)

// location is the value of the label kafka_location: the family's dashboards tell their Kafka clusters apart by it.
const location = "jetstream"

// maxTenants bounds the tenant label; events of further tenants are counted under "other".
const maxTenants = 1000

// Buckets of kafka_consumer_latency, in seconds; the alerts of the family ask about 0.5.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// flow names one stream and one tenant.
type flow struct{ topic, tenant string }

// producerCounts is guarded by the publisher's lock.
type producerCounts struct {
	sent   map[flow]uint64
	size   map[string]int // biggest event a topic, bytes
	errors uint64
	lost   uint64
}

func newProducerCounts() producerCounts {
	return producerCounts{sent: map[flow]uint64{}, size: map[string]int{}}
}

func (c *producerCounts) stored(it *item) {
	k := flow{it.topic, it.tenant}
	if _, known := c.sent[k]; !known && len(c.sent) >= maxTenants {
		k.tenant = "other"
	}
	c.sent[k]++
	c.size[it.topic] = max(c.size[it.topic], len(it.data))
}

// consumed is what the subscriptions of a node count.
type consumed struct {
	mu     sync.Mutex // guards what follows
	flows  map[flow]*flowCounts
	topics map[string]*topicCounts
}

type flowCounts struct {
	received uint64
	sum      float64 // seconds
	buckets  []uint64
}

type topicCounts struct {
	attached int
	anew     uint64
	errors   uint64
}

func newConsumed() *consumed {
	return &consumed{flows: map[flow]*flowCounts{}, topics: map[string]*topicCounts{}}
}

func (c *consumed) topicLocked(name string) *topicCounts {
	t := c.topics[name]
	if t == nil {
		t = &topicCounts{}
		c.topics[name] = t
	}
	return t
}

func (c *consumed) attach(topic string, n int) {
	c.mu.Lock()
	c.topicLocked(topic).attached += n
	c.mu.Unlock()
}

func (c *consumed) again(topic, _ string) {
	c.mu.Lock()
	c.topicLocked(topic).anew++
	c.topicLocked(topic).errors++
	c.mu.Unlock()
}

func (c *consumed) failed(topic string) {
	c.mu.Lock()
	c.topicLocked(topic).errors++
	c.mu.Unlock()
}

func (c *consumed) received(topic, tenant string, age time.Duration) {
	s := max(age.Seconds(), 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	k := flow{topic, tenant}
	n := c.flows[k]
	if n == nil {
		if len(c.flows) >= maxTenants {
			k.tenant = "other"
			n = c.flows[k]
		}
		if n == nil {
			n = &flowCounts{buckets: make([]uint64, len(latencyBuckets))}
			c.flows[k] = n
		}
	}
	n.received++
	n.sum += s
	for i, b := range latencyBuckets {
		if s <= b {
			n.buckets[i]++
			break
		}
	}
}

// Metrics chooses which of the fabric's metrics a service shows, and with which labels: metric name -> label names, of
// topic (the stream), tenant and kafka_location. A label left out is summed over. The names are those of the family's
// catalogue, where the services differ in labels. The numbers are the node's: all services of a node share its fabric.
type Metrics map[string][]string

// AllMetrics is every metric of the fabric with all its labels.
func AllMetrics() Metrics {
	all := Metrics{}
	for _, k := range kinds {
		all[k.name] = k.labels
	}
	return all
}
