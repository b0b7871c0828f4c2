// Package jitter turns packets that come as they may into sound in time: exactly one frame of 20 ms whenever it is asked
// for, so that a recording keeps its time axis whatever the network or the peer does.
//
// A [Buffer] keeps packets in a small ring by their sequence numbers, undecoded, and decodes them when their turn comes.
// When that is follows from their timestamps, so packets may last 10, 20, 30 or 60 ms, several or a part of one a frame.
//
// Delay: how much later than the quickest ones packets came, during the last ten seconds, is what the buffer holds back,
// from 20 ([MinDelay]) to 200 ms ([MaxDelay]). It grows at once, by concealing, when the next packet is not there; it
// shrinks by a frame where there is silence, or once a second by taking out one period of the pitch. Clocks that drift
// are noticed in the same way and cost a period now and then.
//
// What is missing: a hole in the sequence numbers was lost and is concealed (package plc); a hole in the timestamps alone
// is silence that was not sent (DTX, or a telephone-event), with or without comfort noise (RFC 3389) or marker bits.
// Another SSRC, numbers that start again, timestamps that jump by more than a second against the clock: all begin a new
// stream, and what is left of the old one is dropped. A sequence number far off is believed when its successor comes.
//
// State: a ring of 64 entries, and the payloads and sound waiting in it: about 6 KB for 40 ms of G.711, 100 KB at the
// most. No allocation a packet once that many were waiting. No concurrency: the leg that owns it has a lock.
//
// Limits: payloads of 1,500 bytes; 64 packets ahead; a second of sound waiting.
package jitter
