package sdp

import (
	"errors"
	"slices"
)

// ErrNoFormat says that two sides have no codec in common, nor one that we could go between.
var ErrNoFormat = errors.New("no codec in common")

// Accept answers an offer for a leg that ends here: the formats of it that we can code, in their order and with their
// payload types, and digits.
func Accept(offer, can []Format) ([]Format, error) {
	var out []Format
	for i := range offer {
		if f := offer[i]; f.is(TelephoneEvent) || contains(can, &f) {
			out = append(out, f)
		}
	}
	if !anySpeech(out) {
		return nil, ErrNoFormat
	}
	return digitsOf(out), nil
}

func contains(list []Format, f *Format) bool {
	return slices.ContainsFunc(list, func(g Format) bool { return Same(&g, f) })
}

func anySpeech(list []Format) bool {
	return slices.ContainsFunc(list, func(f Format) bool { return f.Speech() })
}

// digitsOf leaves out telephone-events and comfort noise of clock rates that no codec in the list has: they share its
// timestamps (RFC 4733 §2.1), and a player of one codec has no use for the others.
func digitsOf(list []Format) []Format {
	return slices.DeleteFunc(list, func(f Format) bool {
		return !f.Speech() && !slices.ContainsFunc(list, func(g Format) bool { return g.Speech() && g.Clock == f.Clock })
	})
}

// Widen is what one side is offered when the other can receive said: all of it, in its order, whether we know it or not,
// since what both can do passes untouched; then what we can go between, digits too, if there is anything in said that we can.
func Widen(said, can []Format) []Format {
	out := slices.Clone(said)
	if !slices.ContainsFunc(said, func(f Format) bool { return f.Speech() && contains(can, &f) }) {
		return out
	}
	for i := range can {
		f := can[i]
		taken := slices.ContainsFunc(out, func(g Format) bool { return Same(&g, &f) || g.Type == f.Type })
		if !taken && len(out) < MaxFormats {
			out = append(out, f)
		}
	}
	return out
}

// Taken is what an answer took of our offer.
type Taken struct {
	Send    []Format // what the peer can receive, best first, with its payload types
	Receive []Format // the same as we told it
	index   []int    // of each in the offer
}

// Take reads which formats of our offer an answer took. The numbers of the answer should be ours, and are taken as the peer's
// own where they are not (RFC 3264 §6.1).
func Take(offered, answer []Format) (Taken, error) {
	var t Taken
	for i := range answer {
		f := answer[i]
		at := slices.IndexFunc(offered, func(g Format) bool { return g.Type == f.Type && (f.Encoding == "" || g.is(f.Encoding)) })
		if at < 0 {
			at = slices.IndexFunc(offered, func(g Format) bool { return Same(&g, &f) })
		}
		if at < 0 || slices.Contains(t.index, at) {
			continue // it was not offered
		}
		if f.Encoding == "" {
			f.Encoding = offered[at].Encoding
		}
		t.Send, t.Receive, t.index = append(t.Send, f), append(t.Receive, offered[at]), append(t.index, at)
	}
	if !anySpeech(t.Send) {
		return Taken{}, ErrNoFormat
	}
	return t, nil
}

// Back is what a side is answered whose offer was offer, when the other side, which was offered Widen(offer, can), took t:
// what both can do; else the first of its formats that we can go between. Its digits are taken even when the other side has
// none, since we can turn them into tones where we can code the sound that they go into.
func Back(offer []Format, t Taken, can []Format) ([]Format, error) {
	var out []Format
	for n, at := range t.index {
		if at < len(offer) {
			f := offer[at]
			f.Params = t.Send[n].Params // the other side's wishes
			out = append(out, f)
		}
	}
	between := slices.ContainsFunc(t.Send, func(f Format) bool { return f.Speech() && contains(can, &f) })
	if !anySpeech(out) {
		at := slices.IndexFunc(offer, func(f Format) bool { return f.Speech() && contains(can, &f) })
		if at < 0 || !between {
			return nil, ErrNoFormat
		}
		out = digitsOf(slices.Insert(out, 0, offer[at]))
	}
	if !between || slices.ContainsFunc(out, func(f Format) bool { return f.is(TelephoneEvent) }) {
		return out, nil
	}
	for i := range offer {
		if offer[i].is(TelephoneEvent) {
			out = append(out, offer[i])
		}
	}
	return digitsOf(out), nil
}
