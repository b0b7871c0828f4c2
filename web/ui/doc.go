// Package ui is how Parley's pages look: templates, style sheet and script, embedded in the binary, and a [Renderer]
// that fills them.
//
// A page is rendered on the server and works without its script; the script adds live updates and small comforts.
// Nothing comes from another host, no style or script is inline, so the strictest content security policy holds.
//
// State: none after New. A Renderer may be used from many goroutines at once. It knows no service and no request:
// package web gives it plain values.
package ui
