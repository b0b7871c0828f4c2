package quality

// gmin is how many packets must arrive between two losses for them to be apart (RFC 3611 §4.7.2).
const gmin = 16

// bursts tells periods with many losses from those with few. A burst begins and ends with a loss, has at least two, and
// less than gmin packets that arrived between one loss and the next; everything else is a gap, a lone loss with gmin
// good packets around it too. A packet that was discarded is as good as lost. It counts exactly what the definition
// says instead of the transitions that RFC 3611 Appendix A.2 estimates it from.
type bursts struct {
	packets uint64 // of all, arrived or not
	losses  uint64
	runs    uint64 // of losses without a packet in between

	bursts      uint64
	inBursts    uint64 // packets, arrived or not
	lostInBurst uint64
	gaps        uint64 // periods that are over or have begun
	gap         bool   // the packets since the last burst are a gap that was counted

	// The losses at hand, which may become a burst.
	since  uint32 // packets that arrived since the last of them, up to gmin
	length uint64 // from the first to the last of them; 0 when there are none
	lost   uint64
}

// arrived counts n packets in a row that came.
func (b *bursts) arrived(n uint64) {
	if n == 0 {
		return
	}
	b.packets += n
	if b.since == gmin {
		return
	}
	b.since += uint32(min(n, uint64(gmin-b.since)))
	if b.since == gmin {
		b.settle()
		b.openGap()
	}
}

// missed counts n packets in a row that were lost or discarded.
func (b *bursts) missed(n uint64) {
	if n == 0 {
		return
	}
	b.packets += n
	b.losses += n
	switch {
	case b.length == 0:
		if b.packets > n { // something came before
			b.openGap()
		}
		b.length, b.lost = n, n
		b.runs++
	case b.since == 0: // the run goes on
		b.length += n
		b.lost += n
	default:
		b.length += uint64(b.since) + n
		b.lost += n
		b.runs++
	}
	b.since = 0
}

// settle decides what the losses at hand were.
func (b *bursts) settle() {
	if b.lost > 1 {
		b.bursts++
		b.inBursts += b.length
		b.lostInBurst += b.lost
		b.gap = false
	} else if b.lost == 1 {
		b.openGap()
	}
	b.length, b.lost = 0, 0
}

func (b *bursts) openGap() {
	if !b.gap {
		b.gap = true
		b.gaps++
	}
}

// end settles what is under way, for a look at the numbers: on a copy when the stream goes on.
func (b *bursts) end() {
	since := b.since
	b.settle()
	if since > 0 {
		b.openGap()
	}
	b.since = 0
}

// burstRatio is the burst ratio of ITU-T G.107: how much longer the runs of lost packets are than they were if as many were
// lost at random. Shorter than random counts as random, and so does what is not known.
func burstRatio(losses, runs, packets uint64) float64 {
	if runs == 0 || packets == 0 {
		return 1
	}
	return max(1, float64(losses)/float64(runs)*(1-float64(losses)/float64(packets)))
}
