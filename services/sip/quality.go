package sip

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"parley/internal/fabric"
	"parley/internal/media/quality"
	"parley/internal/voice"
)

const (
	voiceEvery = 10 * time.Second // how often a call tells of its voice
	voiceTick  = time.Second      // how often the node looks which calls should
	maxCodec   = 32               // bytes of a name that a peer gave its codec
)

// hearing is what was told of the voice of a call. It belongs to the call's mailbox but for due.
type hearing struct {
	due   atomic.Int64 // when it is to be told again, in nanoseconds of Unix; 0 = there is nothing to tell
	seq   uint64
	begin time.Time // of the legs
	last  [2]quality.Figures
	mos   [2]float64 // lately
}

// listen begins to tell how the voice of the call is.
func (c *call) listen() {
	c.hearing.begin = c.w.now()
	c.hearing.due.Store(c.hearing.begin.Add(voiceEvery).UnixNano())
}

// tellVoice says how the voice of both sides is, or was. Of a side that nothing went to or came from there is nothing to say.
func (c *call) tellVoice(final bool) {
	if c.audio == nil || !c.audio.through() {
		return
	}
	if final {
		c.hearing.due.Store(0)
	} else if c.phase == over {
		return
	}
	for _, s := range []side{caller, callee} {
		if c.audio.ends[s].leg == nil || c.borrowed && s == caller {
			continue
		}
		f := c.audio.ends[s].leg.Figures()
		if quiet(&f) {
			continue
		}
		e := c.voiceEvent(s, &f)
		e.Final = final
		c.hearing.last[s], c.hearing.mos[s] = f, e.Last.MOS()
		c.w.heard(e)
	}
	if !final {
		c.show()
	}
}

// quiet tells whether nothing was heard or said.
func quiet(f *quality.Figures) bool { return f.Received.Packets == 0 && f.Sent.Packets == 0 }

// voiceEvent tells of one side.
func (c *call) voiceEvent(s side, f *quality.Figures) *voice.QualityEvent {
	h := &c.hearing
	h.seq++
	e := &voice.QualityEvent{
		CallUUID: c.conv.id.uuid, CallThreadID: c.conv.thread, Side: voice.SideCaller, DN: c.from.shown, Trunk: c.from.trunk, Queue: c.conv.queue, Begin: h.begin.UTC(),
		Whole: mediaQuality(f.Received, f.Sent, f), Tenant: c.id.tenant, Seq: h.seq, Time: c.w.now().UTC(), Node: c.id.node,
	}
	if s == callee {
		e.Side, e.Trunk, e.DN = voice.SideCallee, c.trunkOut(), c.dialled
		if c.rings != "" {
			e.DN = c.rings
		}
	}
	before := &h.last[s]
	e.Last = mediaQuality(f.Received.Since(before.Received), f.Sent.Since(before.Sent), f)
	return e
}

// mediaOf is how the voice of a side was, for the record; nil when nothing went through the node.
func (c *call) mediaOf(s side) *voice.MediaQuality {
	if c.audio == nil || !c.audio.through() || c.audio.ends[s].leg == nil {
		return nil
	}
	f := c.audio.ends[s].leg.Figures()
	if quiet(&f) {
		return nil
	}
	q := mediaQuality(f.Received, f.Sent, &f)
	return &q
}

// mediaQuality writes figures as events and records have them.
func mediaQuality(received, sent quality.Direction, f *quality.Figures) voice.MediaQuality {
	q := voice.MediaQuality{Received: voiceQuality(&received), Sent: voiceQuality(&sent)}
	if f.RoundTrip > 0 {
		q.RoundTrip = known(millis(f.RoundTrip))
	}
	return q
}

func voiceQuality(d *quality.Direction) voice.VoiceQuality {
	codec := clean(d.Codec)
	q := voice.VoiceQuality{Codec: codec[:min(len(codec), maxCodec)], Packets: d.Packets}
	if d.Measured {
		expected := d.Expected
		q.Expected, q.Loss, q.Discarded = &expected, known(percent(d.LossShare())), known(percent(d.DiscardShare()))
		q.Duplicates, q.Reordered, q.Bursts = d.Duplicates, d.Reordered, d.Bursts
		q.BurstDensity, q.GapDensity = percent(d.BurstDensity), percent(d.GapDensity)
		q.BurstLength, q.GapLength = millis(d.BurstTime), millis(d.GapTime)
	}
	if d.Timed {
		q.Jitter, q.JitterMax = known(millis(d.Jitter)), known(millis(d.JitterMax))
	}
	if d.Rated {
		q.R, q.MOSLQ, q.MOSCQ, q.ByPeer = round(d.R), round(d.MOSLQ), round(d.MOSCQ), d.ByPeer
	}
	return q
}

// Two digits are more than a measurement of voice is worth.
func round(f float64) float64 { return math.Round(f*100) / 100 }

func known(f float64) *float64       { return &f }
func percent(share float64) float64  { return round(100 * share) }
func millis(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// watchVoice has the calls tell of their voice in time, until ctx ends: one ticker for all of them.
func (s *Service) watchVoice(ctx context.Context) {
	tick := time.NewTicker(voiceTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range s.all() {
				if due := c.hearing.due.Load(); due != 0 && due <= now.UnixNano() && c.hearing.due.CompareAndSwap(due, now.Add(voiceEvery).UnixNano()) {
					c.must(func() { c.tellVoice(false) })
				}
			}
		}
	}
}

func (o *outside) heard(e *voice.QualityEvent) {
	err := o.f.Publish(fabric.Event{
		Subject: fabric.Subject("quality", e.Tenant, e.CallUUID),
		MsgID:   e.CallUUID + ":q:" + strconv.FormatUint(e.Seq, 10),
		Payload: e,
	})
	if err != nil {
		o.m.voice.lost.Inc()
		o.log.Error("voice event lost", "call", e.CallUUID, "side", e.Side, "err", err)
	}
	if e.Final {
		o.m.voice.observe(e)
	}
}
