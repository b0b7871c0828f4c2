// Package web is the pages: sign in, overview, live calls, calls with their SIP messages, extensions, trunks, dial plan, people,
// tenants, bans, call history, change history and one's own device.
//
// It is a client like any other. What it shows and changes goes through the doors of internal/contract, and who may do
// what is decided here, at the edge, with the rights of voice.Principal: an agent sees the own profile and device, a
// supervisor reads the own tenant, an administrator changes it, the system role does so in every tenant and on what
// belongs to none (tenants, bans).
//
// State: none that matters. The session cookie holds the bearer token of services/tenant and when it was last used,
// signed with the cluster secret "web", so any node may answer the next request. Each form carries a CSRF token derived
// from the session. In memory are the samples of the overview's chart, the last device events, provisioning
// documents that wait a few minutes to be fetched once by a phone (see [handouts]), and, of tenants whose live calls somebody
// looks at, the calls in progress (see [callBoard]); all bounded.
//
// Concurrency: handlers run at once and share nothing but what guards itself. Strings from a Fiber context are copied
// before they are kept (Fiber reuses its buffers).
//
// Live updates are server-sent events. A stream belongs to one page and one topic; what changed is remembered as a set
// of keys (package live) and rendered when the client is ready to take it, so a slow page costs a few keys.
//
// Not here: how pages look (package ui), REST (each service has its own).
package web
