// Package pace is the clock by which a media plane listens and plays: one tick every 20 ms ([Tick]) for all streams of
// a node, however many there are.
//
// In a tick first everything that listens has its turn, and when the last of it is done, everything that plays. So a
// mixer is written to by all who speak in it before anybody reads from it, and adds no frame of delay.
//
// State: a list of streams for each [Phase]. Joining and leaving cost an append under a short lock; the lists
// themselves belong to the goroutine of Run, which brings them up to date before each tick.
//
// Time: ticks are due at a fixed distance from the first one, so they do not drift. A tick that begins late is made up
// for: those that became due meanwhile follow at once, ten of them (200 ms) at most, and what is beyond that is left
// out and counted ([Stats]). Without streams there are no ticks and no timer; the first stream that joins begins a new
// schedule.
//
// Concurrency: Run and a few helpers share a tick's streams in portions. A stream has its turn on one goroutine at a time,
// and sees what others did in the phase before. Streams must not wait: everybody else waits with them.
package pace
