package transport

type conn struct{}
type udpSocket struct{}
