//go:build !linux

package control

import "net"

// caller cannot ask the kernel here; whoever reaches the socket may use it all the same.
func caller(net.Conn) string { return unknownCaller }
