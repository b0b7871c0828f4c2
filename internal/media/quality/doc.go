// Package quality measures the voice of one leg of a call, in both directions apart: what the peer sends as it arrives
// here, counted from its packets, and what we send as it arrives at the peer, as the peer's own reports tell.
//
// A [Stream] is fed by the leg with each RTP packet that comes or goes and with the peer's RTCP (RFC 3550, and the
// extended reports of RFC 3611), says when a report of our own is due, and writes it. [Stream.Figures] tells what is
// known at any moment: loss (RFC 3550 A.3), bursts and gaps (RFC 3611 §4.7.2), duplicates, reordering, jitter
// (RFC 3550 A.8), round trip, and R and MOS by the E-model (ITU-T G.107). What was not measured is unknown and says so;
// nothing is estimated from nothing. A codec without an impairment factor (see [Rate]) has figures but no MOS.
//
// State: a Stream is about 1,000 bytes without a pointer to anything that grows. The last 128 sequence numbers are a
// bitmap, so that a packet that is late is not lost and one that comes twice is counted once; what is older is final. When the
// SSRC changes or the numbers start anew, what was counted stays and counting goes on.
//
// Concurrency: none of its own; the lock of the leg guards it. Received and Sent allocate nothing.
//
// Limits: RTCP of the peer is read up to 1,500 bytes a datagram, 16 packets in it and 8 datagrams a second; what is
// beyond is not read. No answer to what a stranger claims: a round trip counts only when it names a report that was sent.
//
// Not here: sockets, keys, who the peer is (package media), what happens with the figures (services/sip).
package quality
