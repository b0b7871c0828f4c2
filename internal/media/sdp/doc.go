// Package sdp reads what phones say about media (RFC 8866, RFC 3264) and rewrites it so that the media comes to us.
//
// A body is kept as its lines. [Parse] understands those that a relay of audio needs, and [Author.Rewrite] writes them
// all again in their order, changing only what has to be changed: the origin, which is ours with a version that rises
// when something changed; the address and the ports of the audio; other media, which are refused with port 0. Codecs,
// ptime, fmtp, direction and whatever is not known here stay as they are. Candidates of ICE are left out, since they
// would lead the media past the relay, and so is what says who or what wrote the body.
//
// State: an [Author] is our side of the SDP with one peer and belongs to whoever owns the dialog; everything else is a
// value. Not safe for concurrent use.
//
// Limits: see [MaxSize] and its neighbours. What is beyond them, or cannot be understood, is an error that wraps
// [ErrSyntax], and never a body half understood.
package sdp
