// Package voice is the vocabulary of Parley: tenants, directory numbers, people, the events of the
// T-Library model and the errors every door speaks.
//
// It has no I/O and imports nothing of the project, so that every other package may use its words.
// Types here are plain values: they are safe to copy and to share once built.
package voice
