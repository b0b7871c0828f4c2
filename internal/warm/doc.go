// Package warm runs short jobs on goroutines that are kept. A new goroutine begins with a small stack, and a job that goes
// deep has it copied twice or more, which can cost more than the job; a kept one has the stack it needs.
//
// A [Pool] starts a goroutine whenever none waits, so no job waits for another, and lets a bounded number of them wait
// for the next job when they are done, for a minute at most. Whoever gives jobs to a pool bounds their number.
package warm
