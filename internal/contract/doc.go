// Package contract holds the doors between services: one file a service, each with its requests, its
// responses and the [fabric.Door] that carries them.
//
// A service never imports another service; it calls a door with [fabric.Call]. Requests and responses are plain
// JSON-able values; in one process they pass by reference and must not be changed by the receiver.
package contract
