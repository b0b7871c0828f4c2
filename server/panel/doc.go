// Package panel draws the box that a node prints on standard output when it is ready: where its doors are and, once
// in its life, the passwords of its first accounts.
//
// It is plain text of at most 100 columns (paths may be longer), the same on a terminal, in a pipe and in the journal of a service manager.
// It holds no state; passwords pass through it and are kept nowhere.
package panel
