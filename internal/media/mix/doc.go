// Package mix is a room in which any number of people talk: each hears everybody else and not himself.
//
// A [Port] is the place of one of them: an audio.Sink for what he says and an audio.Source for what he hears. The clock of
// the media plane first writes to all sinks of a node and then reads from all sources (package pace). The first port that
// reads in a tick therefore starts a round: what each said is taken once, at his volume, and added up once, and every
// listener gets the sum without his own part. So a room of N costs N additions and N subtractions and not N².
//
// Who hears whom is a matrix. Its rows follow from roles: everybody hears a [Talker], nobody an [Observer], and only the
// one who is coached a [Coach]; all three hear all talkers. [Mixer.Hear] sets single cells. A listener whose row differs
// from the plain one costs an addition for each difference.
//
// Narrow and wide voices may be in one room; what each said is converted only while there are both. Sums that
// are too loud are bent rather than cut.
//
// State: a port is some 6 KB, all of it there from the beginning; a round allocates nothing. What a port wrote and no
// round has taken waits, two frames at most, and a frame is dropped when one has waited for half a second.
//
// Concurrency: everything may be called from anywhere. One lock guards the room, held for a round (some microseconds) at
// most. Sources and sinks that a room drives itself ([Mixer.Announce], [Mixer.Tap]) are called under it and must not call
// back.
package mix
