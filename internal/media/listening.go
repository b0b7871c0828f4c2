package media

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"parley/internal/media/audio"
	"parley/internal/media/jitter"
	"parley/internal/media/pace"
	"parley/internal/media/quality"
	"parley/internal/media/sdp"
)

// tellBuffer is every how many frames the quality of a leg hears how its buffer stands.
const tellBuffer = 50

// ear hears one direction of a leg for as long as somebody listens.
type ear struct {
	leg    *Leg
	place  **ear // where the leg keeps it
	turn   *pace.Member
	buffer *jitter.Buffer

	// Guarded by the leg's lock.
	sinks []*listener // replaced, never changed, so that a turn can go on with it
	words meanings
	next  jitter.Packet
	count int
}

// listener is one who listens.
type listener struct {
	ear       *ear
	to        audio.Sink
	gone      atomic.Bool
	resampler *audio.Resampler // from rate to that of the sink, nil while they are equal
	rate      int
	pcm       []int16
}

// Listen gives a sink what the peer says, from now on: a frame every 20 ms, in step with all other listeners, silence
// while nothing comes. The audio that passes to a joined leg is not touched. stop ends it; a frame that is being written
// at that moment may still arrive. A sink that returns an error hears nothing more.
func (l *Leg) Listen(to audio.Sink) (stop func()) { return l.listen(&l.heardBy, to) }

// ListenSent gives a sink what the peer hears, wherever it comes from; otherwise it is as Listen.
func (l *Leg) ListenSent(to audio.Sink) (stop func()) { return l.listen(&l.sentBy, to) }

func (l *Leg) listen(place **ear, to audio.Sink) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return func() {}
	}
	li := l.listenLocked(place, to)
	return func() { li.leave() }
}

func (l *Leg) listenLocked(place **ear, to audio.Sink) *listener {
	e := *place
	if e == nil {
		e = &ear{leg: l, place: place}
		discarded := l.stream.Discarded
		if place != &l.heardBy {
			discarded = nil // we are no judge of what the peer's buffer does
		}
		e.buffer = jitter.New(discarded)
		e.turn = l.plane.clock.Join(pace.Listen, e)
		*place = e
	}
	li := &listener{ear: e, to: to}
	e.sinks = append(slices.Clip(e.sinks), li)
	return li
}

// leave takes a listener out, and the ear with the last.
func (li *listener) leave() {
	l := li.ear.leg
	l.mu.Lock()
	defer l.mu.Unlock()
	li.leaveLocked()
}

func (li *listener) leaveLocked() {
	li.gone.Store(true)
	e := li.ear
	e.sinks = slices.DeleteFunc(slices.Clone(e.sinks), func(o *listener) bool { return o == li })
	if len(e.sinks) == 0 {
		e.leg.deafenLocked(e)
	}
}

// deafenLocked ends an ear.
func (l *Leg) deafenLocked(e *ear) {
	if e == nil || *e.place != e {
		return
	}
	*e.place = nil
	e.turn.Leave()
	if e.place == &l.heardBy {
		l.stream.Buffered(quality.Buffer{})
	}
}

// take takes a packet. It is called with the leg's lock held.
func (e *ear) take(h *rtp.Header, payload []byte, f sdp.Format, now time.Time) {
	m := e.words.of(f)
	e.next = jitter.Packet{
		SSRC: h.SSRC, Sequence: h.SequenceNumber, Timestamp: h.Timestamp,
		Kind: m.kind, Codec: m.codec, Payload: unpadded(h, payload),
	}
	e.buffer.Push(&e.next, now)
	e.next.Payload = nil
}

// unpadded is a payload without its padding (RFC 3550 §5.1), empty when that is longer than all of it.
func unpadded(h *rtp.Header, payload []byte) []byte {
	if !h.Padding || len(payload) == 0 {
		return payload
	}
	return payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
}

// Tick is the ear's turn.
func (e *ear) Tick(due time.Time) {
	l := e.leg
	l.mu.Lock()
	if *e.place != e {
		l.mu.Unlock()
		return
	}
	pcm, rate := e.buffer.Pull(due) // stays as it is until the next turn
	sinks := e.sinks
	if e.count++; e.count%tellBuffer == 0 && e.place == &l.heardBy {
		f := e.buffer.Figures()
		l.stream.Buffered(quality.Buffer{Nominal: f.Delay, Maximum: max(f.Delay, f.Wanted), Absolute: jitter.MaxDelay, Adaptive: true})
	}
	l.mu.Unlock()
	for _, li := range sinks {
		if li.gone.Load() {
			continue
		}
		if err := li.write(pcm, rate); err != nil {
			li.leave()
		}
	}
}

// write gives the sink a frame at its own rate.
func (li *listener) write(pcm []int16, rate int) error {
	want := li.to.Rate()
	if rate == want {
		li.rate = rate
		return li.to.Write(pcm)
	}
	if li.rate != rate {
		r, err := audio.NewResampler(rate, want)
		if err != nil {
			return err
		}
		li.resampler, li.rate = r, rate
	}
	li.pcm = li.resampler.Resample(li.pcm[:0], pcm)
	return li.to.Write(li.pcm)
}
