package impair

import (
	"math/rand/v2"
	"time"
)

// Bad says how bad the network is. Each number is a probability, 0 to 1; the zero value is a good network.
type Bad struct {
	Seed      uint64
	Loss      float64
	Duplicate float64
	Reorder   float64       // held back by Late, so that others overtake it
	Delay     time.Duration // of every datagram: random, up to this
	Late      time.Duration

	Burst int           // losses come in runs of so many datagrams; 0 and 1 are single ones
	Drift time.Duration // each datagram is so much later than the one before: the clock of who sends is slow
}

// runs is a peer and direction no datagram has: fates of runs are drawn apart from those of datagrams.
const runs = 1 << 63

// Direction is the way of a datagram.
type Direction uint64

// The directions.
const (
	ToServer Direction = iota
	ToPeer
)

// Fate is when the copies of a datagram arrive, after they were sent: none is a loss, two are a duplicate. peer counts the
// peers from 0 as they appear, n the datagrams of a peer in one direction.
func (b Bad) Fate(peer int, d Direction, n uint64) []time.Duration {
	r := rand.New(rand.NewPCG(b.Seed, uint64(peer)<<33|uint64(d)<<32|n)) // a generator a datagram: no order to keep
	lost := r.Float64() < b.Loss
	if b.Burst > 1 {
		run := rand.New(rand.NewPCG(b.Seed, runs|uint64(peer)<<33|uint64(d)<<32|n/uint64(b.Burst)))
		lost = run.Float64() < b.Loss
	}
	if lost {
		return nil
	}
	copies := 1
	if r.Float64() < b.Duplicate {
		copies = 2
	}
	fate := make([]time.Duration, copies)
	for i := range fate {
		fate[i] = time.Duration(n) * b.Drift
		if b.Delay > 0 {
			fate[i] += time.Duration(r.Int64N(int64(b.Delay)))
		}
		if r.Float64() < b.Reorder {
			fate[i] += b.Late
		}
	}
	return fate
}
