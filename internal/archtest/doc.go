// Package archtest holds tests that keep the house in its shape: which way imports point, that every package says
// what it is, and that no file speaks of the machine it was written on. It has no code of its own.
package archtest
