// Package control is how the commands of `parley` speak to a node that is running.
//
// The node of a data directory listens on the unix socket run/parley.sock there; whoever may open the socket may do
// anything, so it has mode 0600 in a directory of mode 0700, and the name of the caller's account (asked of the
// kernel) goes into the history of what it changes. HTTP and JSON flow over it, errors as problem+json like the REST
// interfaces of the services. [Local] is its client; [Remote] does the same to a node elsewhere, over REST with a token.
//
// State: none; a [Server] answers with what its [Node] says.
//
// Concurrency: requests are served at once; Serve waits for all of them.
//
// Limits: a request body is at most 64 MiB, which is a provisioning file with about half a million numbers.
//
// The profiles of net/http/pprof are served here, and only here.
package control
