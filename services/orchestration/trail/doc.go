// Package trail remembers what sessions of routing scripts did on this node: states entered and left, events, requests, log lines
// and errors, with times. It serves the doors [contract.Sessions] and [contract.SessionTrace].
//
// State: in memory only. A session that another node takes over begins a new trail there, with the states it is in.
//
// Concurrency: all methods may be called at once. The book's lock guards which sessions there are, each session's lock its
// steps; nobody holds two but in that order. Adding a step is one short lock and marshals nothing: values of the interpreter
// are never changed, so they are kept as they are and written as JSON when somebody asks.
//
// Limits: steps of a session and bytes of a step's data; sessions that ended are forgotten, the oldest first. See [Limits].
package trail
