// Package obs is how a service is observed: its health level with reasons, its metrics registry and its log.
//
// It has no listener of its own; internal/httpapi serves what is collected here.
package obs
