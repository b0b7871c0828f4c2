package transport

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// closeReasons in the order of their counters.
var closeReasons = [...]CloseReason{
	ClosedByPeer, ClosedIdle, ClosedNoPong, ClosedHandshake, ClosedSlow, ClosedBadMessage, ClosedBanned, ClosedByUs,
	ClosedShutdown, ClosedError,
}

// transportStats counts what happens on one transport. Plain atomic counters, read only when somebody asks: the
// path of a datagram pays a few nanoseconds for them.
type transportStats struct {
	receivedBytes, sentBytes       atomic.Uint64
	receivedMessages, sentMessages atomic.Uint64
	keepAlives                     atomic.Uint64
	opened                         atomic.Uint64
	dropped                        [dropReasons]atomic.Uint64
	closed                         [len(closeReasons)]atomic.Uint64
}

func (t *transportStats) drop(why dropReason) { t.dropped[why].Add(1) }

func (t *transportStats) close(why CloseReason) {
	for i, r := range closeReasons {
		if r == why {
			t.closed[i].Add(1)
			return
		}
	}
}

// collector shows the counters of a set to Prometheus. Series that are still 0 for a reason, or for a transport without
// a listener, are shown too where the set of labels is small, so that rates start from a known point.
type collector struct{ set *Set }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The names without a prefix are those of the catalogue. sip_transport_errors_total has there one series a remote
// address, without bound; here the address is ours: that of the listener, or "dialled" for connections we opened.
var (
	descReceivedBytes = desc("sip_received_bytes_total", "Volume of SIP traffic received, keep-alives and what was turned away included.", "transport")
	descSentBytes     = desc("sip_sent_bytes_total", "Volume of SIP messages sent.", "transport")
	descErrors        = desc("sip_transport_errors_total", "Faults of sockets and connections, by our own address.", "transport", "address")
	descWaits         = desc("sip_stream_transport_wait_drain_total", "Times a send on a stream transport had to wait for the buffer to drain.")
	descFloods        = desc("sip_stream_transport_flood_total", "Times a connection sent faster than its limit and was read more slowly.")

	descReceived    = desc("parley_sip_messages_received_total", "SIP messages received and handed on.", "transport")
	descSent        = desc("parley_sip_messages_sent_total", "SIP messages sent.", "transport")
	descKeepAlives  = desc("parley_sip_keepalives_total", "Keep-alives received: CRLF on streams, empty or blank datagrams.", "transport")
	descSTUN        = desc("parley_sip_stun_requests_total", "STUN Binding requests answered on UDP ports.")
	descDropped     = desc("parley_sip_dropped_total", "Datagrams, messages and connections turned away, by reason.", "transport", "reason")
	descOpen        = desc("parley_sip_connections", "Connections open at present.", "transport")
	descOpened      = desc("parley_sip_connections_opened_total", "Connections opened, accepted and dialled.", "transport")
	descClosed      = desc("parley_sip_connections_closed_total", "Connections ended, by reason.", "transport", "reason")
	descKernelDrops = desc("parley_sip_udp_kernel_dropped_total", "Datagrams the kernel threw away because our buffer was full.", "address")
	descLostAbuse   = desc("parley_sip_abuse_reports_lost_total", "Reports of abuse that could not be handed on.")
	descCertExpiry  = desc("parley_sip_certificate_expiry_timestamp_seconds", "When the certificate in use expires, in seconds since 1970.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descReceivedBytes, descSentBytes, descErrors, descWaits, descFloods, descReceived, descSent, descKeepAlives, descSTUN,
		descDropped, descOpen, descOpened, descClosed, descKernelDrops, descLostAbuse, descCertExpiry,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.set
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i, t := range transports {
		c.collectTransport(ch, count, &s.stats[i], t)
	}
	count(descWaits, s.waits.Load())
	count(descFloods, s.floods.Load())
	count(descSTUN, s.stun.Load())
	count(descLostAbuse, s.lostAbuse.Load())
	for _, t := range []Transport{TCP, TLS} {
		count(descErrors, s.dialFaults[t.index()].Load(), string(t), "dialled")
	}
	c.collectListeners(count)
	if cert := s.opts.Certificates; cert != nil {
		ch <- prometheus.MustNewConstMetric(descCertExpiry, prometheus.GaugeValue, float64(cert.NotAfter().Unix()))
	}
}

func (c *collector) collectTransport(ch chan<- prometheus.Metric, count func(*prometheus.Desc, uint64, ...string), st *transportStats, t Transport) {
	name := string(t)
	count(descReceivedBytes, st.receivedBytes.Load(), name)
	count(descSentBytes, st.sentBytes.Load(), name)
	count(descReceived, st.receivedMessages.Load(), name)
	count(descSent, st.sentMessages.Load(), name)
	count(descKeepAlives, st.keepAlives.Load(), name)
	for why := accepted + 1; why < dropReasons; why++ {
		if n := st.dropped[why].Load(); n > 0 {
			count(descDropped, n, name, dropNames[why])
		}
	}
	if t == UDP {
		return
	}
	var closed uint64
	for i, why := range closeReasons { // before opened, so that the difference is never below 0
		n := st.closed[i].Load()
		closed += n
		if n > 0 {
			count(descClosed, n, name, string(why))
		}
	}
	opened := st.opened.Load()
	count(descOpened, opened, name)
	ch <- prometheus.MustNewConstMetric(descOpen, prometheus.GaugeValue, float64(opened-closed), name)
}

func (c *collector) collectListeners(count func(*prometheus.Desc, uint64, ...string)) {
	s := c.set
	if s.opened.Load() {
		for _, l := range s.udp {
			address := l.bound.String()
			count(descErrors, l.errs.Load(), string(UDP), address)
			var drops uint64
			counted := false
			for _, sock := range l.sockets {
				n, ok := sock.io.kernelDrops()
				drops, counted = drops+n, counted || ok
			}
			if counted {
				count(descKernelDrops, drops, address)
			}
		}
		for _, l := range s.stream {
			count(descErrors, l.errs.Load(), string(l.endpoint.transport), l.bound.String())
		}
	}
}
