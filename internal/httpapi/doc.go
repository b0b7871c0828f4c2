// Package httpapi is the HTTP plumbing of every service: one listener with /metrics, /healthz, /readyz and
// /openapi.json open to all, and a REST interface behind bearer tokens with problem+json errors (RFC 9457).
//
// It knows no service; a service registers its operations on [Server.API] before it calls [Server.Serve].
//
// State: the connections of the listener, nothing else. Metrics are gathered when somebody asks; the package adds
// none of its own to the registry, so that the Go and process collectors appear once a process and not once a service.
//
// Concurrency: one goroutine accepts, one serves each connection, and Serve waits for all of them. The accept loop is
// ours because fasthttp's own leaves a worker goroutine asleep for ten seconds after it stops.
//
// Limits, all on strangers too: connections ([maxConns]), header bytes ([maxHeader]), body bytes ([DefaultMaxBody],
// more only on the paths that ask for it), time to send a request, time between requests, time a write may block.
//
// Memory: Fiber hands out strings that are views of a buffer it reuses. Operations on API get copies; handlers put on
// [Server.App] directly must strings.Clone what they keep.
//
// Not here: TLS (the listeners are on loopback, or behind something that terminates it), sessions and pages (web).
package httpapi
