package media

import (
	"time"

	"parley/internal/media/audio"
	"parley/internal/media/codec"
	"parley/internal/voice"
)

// Bounds of what a packet of ours lasts, whatever the peer asks for.
const (
	leastPTime = 20 * time.Millisecond
	mostPTime  = 60 * time.Millisecond
)

// speaker makes packets of sound for the peer of one leg. It belongs to the clock's goroutine.
type speaker struct {
	generation uint32 // of the agreement that the rest is for
	as         meaning
	encoder    codec.Encoder
	resampler  *audio.Resampler // nil when the rates are equal
	samples    int              // of a packet, at the codec's rate
	units      uint32           // of a packet, of the RTP clock

	pcm     []int16 // what is not yet a packet
	payload []byte
	coded   uint32 // clock units in it
	waiting bool   // it is to be sent

	stamp   uint32
	talking bool // the packet before went to the peer, and this one follows it
}

// agree prepares for what the peer can hear, if that has changed. The error says that it can hear nothing of ours.
func (s *speaker) agree(a *Agreement, generation uint32, rate int) error {
	if s.encoder != nil && s.generation == generation {
		return nil
	}
	best, ok := bestOf(a.Send)
	if !ok {
		return voice.Errorf(voice.ErrInvalid, "nothing can be played to a peer that takes only %s", namesOf(a.Send))
	}
	if s.encoder == nil || s.as.format.Encoding != best.format.Encoding || s.as.format.Clock != best.format.Clock {
		s.encoder, s.resampler, s.pcm, s.waiting = best.codec.NewEncoder(), nil, s.pcm[:0], false
		if to := best.codec.Rate(); to != rate {
			var err error
			if s.resampler, err = audio.NewResampler(rate, to); err != nil {
				return err
			}
		}
	}
	ptime := a.PTime.Round(10 * time.Millisecond)
	ptime = min(max(ptime, leastPTime), mostPTime)
	s.generation, s.as, s.talking = generation, best, false
	s.samples = int(ptime) * best.codec.Rate() / int(time.Second)
	s.units = uint32(int(ptime) * int(best.codec.Clock()) / int(time.Second))
	return nil
}

// take adds sound, and makes a packet of it when there is enough.
func (s *speaker) take(pcm []int16) {
	if s.resampler != nil {
		s.pcm = s.resampler.Resample(s.pcm, pcm)
	} else {
		s.pcm = append(s.pcm, pcm...)
	}
	s.pack()
}

// flush makes a packet of what is left, with silence behind it.
func (s *speaker) flush() {
	if len(s.pcm) == 0 || s.waiting {
		return
	}
	for len(s.pcm) < s.samples {
		s.pcm = append(s.pcm, 0)
	}
	s.pack()
}

func (s *speaker) pack() {
	if len(s.pcm) < s.samples {
		return
	}
	s.payload = s.encoder.Encode(s.payload[:0], s.pcm[:s.samples])
	s.pcm = s.pcm[:copy(s.pcm, s.pcm[s.samples:])]
	s.coded, s.waiting = s.units, true
}

// hearsLocked tells whether there is any use in speaking to the peer.
func (l *Leg) hearsLocked() bool {
	return !l.closed && l.agreed.Direction.Receives() && l.targetLocked().IsValid()
}

// speakLocked sends the packet that waits. It waits on while there are no keys to encrypt it with.
func (l *Leg) speakLocked(s *speaker, now time.Time) {
	clock := s.as.codec.Clock()
	if !s.talking {
		s.stamp = l.out.now(clock, now)
	}
	if l.emitLocked(s.as.format.Type, !s.talking, s.stamp, clock, s.payload, now) == dropUnproven {
		return
	}
	s.waiting, s.talking = false, true
	s.stamp += s.coded
}
