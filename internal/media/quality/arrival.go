package quality

import "github.com/pion/rtp"

// Thresholds of RFC 3550 A.1.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// span is how many sequence numbers are remembered: more than maxMisorder, so that of each packet that is taken for late
// it is known whether it had come before.
const span = 128

// arrival follows what the peer sends (RFC 3550 A.1 and A.3). When the stream changes (a new SSRC, or a restart of its
// numbers) the counts of the old one are kept and counting starts again.
type arrival struct {
	started bool
	waiting bool
	ssrc    uint32
	base    uint32 // first sequence number, extended
	max     uint32 // highest sequence number, extended by its wraps
	restart uint16 // a sequence number far off waits here for its successor

	// The last span sequence numbers up to max, as bits: bit 0 of word 0 is max. What leaves them goes to bursts.
	seen, refused [span / 64]uint64

	packets    uint64 // that came, duplicates too
	bytes      uint64 // payload of them
	unique     uint64 // that came for the first time
	before     uint64 // packets that streams before this one should have had
	duplicates uint64
	reordered  uint64 // that came after one with a higher number
	discarded  uint64 // that came and were not played
	bursts     bursts

	// Of the stream at hand, for our reports about it (RFC 3550 A.3, which counts duplicates as received).
	received                uint32
	expectedPrior, gotPrior uint32 // as the last report had them
}

// packet counts one packet and tells whether it is one to learn from: not a duplicate, and no stray far off.
func (a *arrival) packet(h *rtp.Header, payload int) bool {
	a.packets++
	a.bytes += uint64(max(payload, 0))
	if !a.started || h.SSRC != a.ssrc {
		a.begin(h)
		return true
	}
	ahead := h.SequenceNumber - uint16(a.max)
	switch {
	case ahead == 0:
		a.duplicates++
		a.received++
		return false
	case ahead < maxDropout: // in order, with or without a gap
		a.max += uint32(ahead)
		a.shift(int(ahead))
		a.seen[0] |= 1
	case ahead <= 1<<16-1-maxMisorder: // a jump: the sender restarted if the next packet follows this one
		if !a.waiting || h.SequenceNumber != a.restart {
			a.restart, a.waiting = h.SequenceNumber+1, true
			return false
		}
		a.begin(h)
		return true
	default:
		return a.late(uint32(-ahead))
	}
	a.waiting = false
	a.received++
	a.unique++
	return true
}

// late takes a packet that is behind the highest number.
func (a *arrival) late(behind uint32) bool {
	word, bit := behind/64, uint64(1)<<(behind%64)
	a.received++
	if a.seen[word]&bit != 0 {
		a.duplicates++
		return false
	}
	a.seen[word] |= bit
	a.reordered++
	if a.max-behind >= a.base { // what is from before the stream's first packet was not missed either
		a.unique++
	}
	return true
}

// begin starts with the first packet of a stream.
func (a *arrival) begin(h *rtp.Header) {
	a.finish()
	a.started, a.ssrc, a.waiting = true, h.SSRC, false
	// One wrap ahead, so that a packet from just before the first cannot go below zero.
	a.base = 1<<16 | uint32(h.SequenceNumber)
	a.max = a.base
	a.seen, a.refused = [span / 64]uint64{1}, [span / 64]uint64{}
	a.unique++
	a.received, a.expectedPrior, a.gotPrior = 1, 0, 0
}

// finish closes the books of the stream at hand.
func (a *arrival) finish() {
	if !a.started {
		return
	}
	a.drain(&a.bursts)
	a.before += a.running()
	a.started = false
}

// running is how many packets the stream at hand should have had (RFC 3550 A.3).
func (a *arrival) running() uint64 {
	if !a.started {
		return 0
	}
	return uint64(a.max-a.base) + 1
}

func (a *arrival) expected() uint64 { return a.before + a.running() }

// shift makes room for n new numbers; the oldest become final.
func (a *arrival) shift(n int) {
	held := int(min(a.running()-uint64(n), span)) // before the shift
	if leaving := min(n-(span-held), held); leaving > 0 {
		a.settle(&a.bursts, held-1, held-leaving)
	}
	if n > span { // lost numbers that were never held
		a.bursts.missed(uint64(n - span))
	}
	for ; n >= 64; n -= 64 {
		a.seen, a.refused = [2]uint64{0, a.seen[0]}, [2]uint64{0, a.refused[0]}
	}
	if n > 0 {
		a.seen = [2]uint64{a.seen[0] << n, a.seen[1]<<n | a.seen[0]>>(64-n)}
		a.refused = [2]uint64{a.refused[0] << n, a.refused[1]<<n | a.refused[0]>>(64-n)}
	}
}

// settle gives the numbers from..to behind the highest one, oldest first, to b.
func (a *arrival) settle(b *bursts, from, to int) {
	for i := from; i >= to; i-- {
		if a.seen[i/64]>>(i%64)&1 != 0 && a.refused[i/64]>>(i%64)&1 == 0 {
			b.arrived(1)
		} else {
			b.missed(1)
		}
	}
}

// drain gives all numbers that are held to b.
func (a *arrival) drain(b *bursts) {
	if a.started {
		a.settle(b, int(min(a.running(), span))-1, 0)
	}
}

// discard notes that a packet came and was not played.
func (a *arrival) discard(sequence uint16) {
	behind := uint16(a.max) - sequence
	if uint64(behind) >= min(a.running(), span) || a.seen[behind/64]>>(behind%64)&1 == 0 || a.refused[behind/64]>>(behind%64)&1 != 0 {
		return
	}
	a.refused[behind/64] |= 1 << (behind % 64)
	a.discarded++
}

// settled are the bursts as they are when nothing more comes.
func (a *arrival) settled() bursts {
	b := a.bursts
	a.drain(&b)
	b.end()
	return b
}
