package media

// dropReason says why a datagram went nowhere.
type dropReason int

const (
	dropMalformed  dropReason = iota // neither RTP nor RTCP
	dropStray                        // not from the peer, as far as can be told
	dropUnproven                     // not encrypted as agreed, or there are no keys yet
	dropHeld                         // the directions of the call forbid it
	dropReplaced                     // the other peer hears something else
	dropCodec                        // the other peer does not know the codec
	dropRate                         // more than a peer may send
	dropNowhere                      // the other peer's address is not known yet
	dropUnsendable                   // the system refused to send it
	dropReasons

	dropNot dropReason = -1 // it is on its way
)

func (d dropReason) String() string {
	return [...]string{"malformed", "stray", "unproven", "held", "replaced", "codec", "rate", "nowhere", "unsendable"}[d]
}

// counters are what a peer did to its leg, and the leg to it.
type counters struct {
	packets, bytes uint64 // RTP of the peer, held or not; bytes with the RTP header
	rtcp           uint64
	sent           uint64 // RTP sent to the peer
	dropped        [dropReasons]uint64
}

func (c *counters) add(o *counters) {
	c.packets += o.packets
	c.bytes += o.bytes
	c.rtcp += o.rtcp
	c.sent += o.sent
	for i := range c.dropped {
		c.dropped[i] += o.dropped[i]
	}
}
