package media

import "github.com/prometheus/client_golang/prometheus"

// collector shows a plane to Prometheus. The numbers are those the legs keep anyway, summed up when somebody asks.
type collector struct{ plane *Plane }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("parley_media_"+name, help, labels, nil)
}

// None of these is in the catalogue of metrics, which knows no audio.
var (
	descLegs      = desc("legs", "Parties of calls whose media goes through this node now.")
	descPorts     = desc("port_pairs", "Pairs of an RTP and an RTCP port: in_use, free, or resting before they may be used again.", "state")
	descOccupied  = desc("ports_occupied_total", "Port pairs found occupied by other programs.")
	descExhausted = desc("ports_exhausted_total", "Times there was no port pair to be had.")
	descReceived  = desc("received_packets_total", "RTP packets received from peers.")
	descBytes     = desc("received_bytes_total", "RTP received from peers, with its headers.")
	descSent      = desc("sent_packets_total", "RTP packets sent to peers.")
	descRTCP      = desc("received_rtcp_packets_total", "RTCP packets received from peers.")
	descDropped   = desc("dropped_packets_total", "Datagrams that went nowhere.", "reason")
	descStreams   = desc("streams", "Streams that begin or end in this node now: played to a peer, or listening to one.", "kind")
	descTicks     = desc("ticks_total", "Ticks of 20 ms in which streams had their turns.")
	descLate      = desc("late_ticks_total", "Ticks that began when the next one was due already: the node has too much to do.")
	descSkipped   = desc("skipped_ticks_total", "Ticks that were left out, since more were late than can be made up for.")
	descBusy      = desc("tick_seconds_total", "Time spent in ticks.")
)

func (c collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

func (c collector) Collect(out chan<- prometheus.Metric) {
	total, legs := c.plane.totals()
	pool := c.plane.pool.Stats()
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	gauge(descLegs, legs)
	gauge(descPorts, pool.InUse, "in_use")
	gauge(descPorts, pool.Free, "free")
	gauge(descPorts, pool.Resting, "resting")
	counter(descOccupied, pool.PassedOver)
	counter(descExhausted, pool.Exhausted)
	counter(descReceived, total.packets)
	counter(descBytes, total.bytes)
	counter(descSent, total.sent)
	counter(descRTCP, total.rtcp)
	clock := c.plane.clock.Stats()
	gauge(descStreams, clock.Playing, "playing")
	gauge(descStreams, clock.Listening, "listening")
	counter(descTicks, clock.Ticks)
	counter(descLate, clock.Late)
	counter(descSkipped, clock.Skipped)
	out <- prometheus.MustNewConstMetric(descBusy, prometheus.CounterValue, clock.Busy.Seconds())
	for reason, n := range total.dropped {
		counter(descDropped, n, dropReason(reason).String())
	}
}

// totals sums up all legs, closed ones too, and counts the open ones. A leg's own lock is taken while it is still
// in the list, so none is counted twice or missed, and counters never go down.
func (p *Plane) totals() (counters, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.done
	for l := range p.legs {
		l.mu.Lock()
		total.add(&l.count)
		l.mu.Unlock()
	}
	return total, len(p.legs)
}
