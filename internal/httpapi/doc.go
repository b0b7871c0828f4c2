// Package httpapi is the HTTP plumbing of every service: one listener with /metrics, /healthz, /readyz and
// /openapi.json open to all, and a REST interface behind bearer tokens with problem+json errors (RFC 9457).
//
// It knows no service; a service registers its operations on [Server.API].
package httpapi
