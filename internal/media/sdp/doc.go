// Package sdp is what phones and we say to each other about media (RFC 8866), and how offers are made and answered
// (RFC 3264).
//
// [Parse] reads a body. Each side of a call is negotiated by itself: [Widen] makes of what one side offers the formats that
// the other side is offered, [Take] reads what it took of them, and [Back] says what the first side is answered; for a leg
// that ends here, [Accept] answers at once. An [Author] writes: it knows what this peer was told before, so that
// m= lines keep their places, payload types their meaning and the version of o= rises when something changed.
//
// pion/sdp reads and writes bodies. Our own reader stands in front of it, since pion's refuses a whole body for one line
// that only has to be refused itself (m=image of a fax, an unknown b=, a session id that is no number), has no limits,
// and takes control characters. It looks at each line once and gives pion a body in the order of RFC 8866, with what is not
// needed left out. Two bodies read and two written, which is a call, take some 25 µs.
//
// What is written is ours from the first line to the last: formats, direction, times, keys and addresses are carried over,
// everything else a phone says (its software, its attributes for video, candidates of ICE that would lead the audio past
// us) is not. Media other than audio is refused with port 0, at its place (RFC 3264 §6). Only when audio goes from phone to
// phone a body passes as it came, with an o= line of ours ([Author.Forward]).
//
// State: an [Author] is our side of the SDP with one peer and belongs to whoever owns the dialog; everything else is a
// value. Not safe for concurrent use. Keys of SRTP are in bodies and in [Audio.Crypto]: neither belongs in a log.
//
// Limits: see [MaxSize] and its neighbours. What is beyond them, or cannot be understood, is an error that wraps
// [ErrSyntax], and never a body half understood.
package sdp
