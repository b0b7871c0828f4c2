package voice

import "time"

// Side is a side of a call.
type Side string

// The sides.
const (
	SideCaller Side = "caller"
	SideCallee Side = "callee"
)

// QualityEvent is an event on QUALITY: how the voice of one leg was, once every few seconds and once at its end. Members
// whose value is not known are absent.
type QualityEvent struct {
	CallUUID     string       `json:"CallUUID"`
	CallThreadID string       `json:"CallThreadID"`
	Side         Side         `json:"side"`
	DN           string       `json:"ThisDN,omitempty"` // of the party
	Trunk        string       `json:"ThisTrunk,omitempty"`
	Queue        string       `json:"ThisQueue,omitempty"`
	Final        bool         `json:"final"` // the leg is over
	Begin        time.Time    `json:"begin"` // of the leg
	Whole        MediaQuality `json:"whole"` // from the beginning until now
	Last         MediaQuality `json:"last"`  // since the event before; the same as whole in the first
	Tenant       string       `json:"tenant"`
	Seq          uint64       `json:"seq"` // 1 for the first of the call, of whichever side
	Time         time.Time    `json:"time"`
	Node         string       `json:"node"`
}

// MediaQuality is how the voice of one leg was, in each direction.
type MediaQuality struct {
	Received  VoiceQuality `json:"received"`                // what the party sent, as it arrived at the platform
	Sent      VoiceQuality `json:"sent"`                    // what it was sent, as it says it arrived
	RoundTrip *float64     `json:"round_trip_ms,omitempty"` // between the platform and the party
}

// VoiceQuality is how the voice of one direction was. A pointer is nil where a value is not known; a score is 0 there.
type VoiceQuality struct {
	Codec        string   `json:"codec,omitempty"`
	Packets      uint64   `json:"packets"`                // that arrived, or were sent
	Expected     *uint64  `json:"expected,omitempty"`     // that should have arrived
	Loss         *float64 `json:"loss_percent,omitempty"` // of those expected
	Discarded    *float64 `json:"discarded_percent,omitempty"`
	Duplicates   uint64   `json:"duplicates,omitempty"`
	Reordered    uint64   `json:"reordered,omitempty"`
	Bursts       uint64   `json:"bursts,omitempty"`                // periods with many losses (RFC 3611 §4.7.2)
	BurstDensity float64  `json:"burst_density_percent,omitempty"` // share lost in them
	BurstLength  float64  `json:"burst_ms,omitempty"`              // mean
	GapDensity   float64  `json:"gap_density_percent,omitempty"`
	GapLength    float64  `json:"gap_ms,omitempty"`
	Jitter       *float64 `json:"jitter_ms,omitempty"`
	JitterMax    *float64 `json:"jitter_max_ms,omitempty"`
	R            float64  `json:"r,omitempty"`       // of the E-model, 0 to 100
	MOSLQ        float64  `json:"mos_lq,omitempty"`  // of listening, 1 to 4.5
	MOSCQ        float64  `json:"mos_cq,omitempty"`  // of conversation, known only with the delay
	ByPeer       bool     `json:"by_peer,omitempty"` // R and MOS are the party's own
}

// MOS is the score of the conversation where that is known, else that of listening; 0 where neither is.
func (q *VoiceQuality) MOS() float64 {
	if q.MOSCQ > 0 {
		return q.MOSCQ
	}
	return q.MOSLQ
}

// MOS is the lower score of the two directions that is known, 0 when none is.
func (q *MediaQuality) MOS() float64 {
	if q == nil {
		return 0
	}
	return lowerMOS(q.Received.MOS(), q.Sent.MOS())
}

func lowerMOS(a, b float64) float64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// WorstMOS is the lowest score of the call that is known, 0 when none is.
func (r *CDR) WorstMOS() float64 { return lowerMOS(r.CallerMedia.MOS(), r.CalleeMedia.MOS()) }
