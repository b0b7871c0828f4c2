package transport

import (
	"bufio"
	"testing"
)

func TestTCPEcho(t *testing.T) {
	s := start(t, echoOptions("tcp://127.0.0.1:0"))
	c := dialTCP(t, at(t, s, TCP))
	roundTrip(t, c, request(1, 0))
	roundTrip(t, c, request(2, 50000))
	c.Write([]byte("\r\n\r\n"))
	pong, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || pong != "\r\n" {
		t.Errorf("pong = %q, %v, want one CRLF (RFC 5626 §3.5.1)", pong, err)
	}
	roundTrip(t, c, request(3, 10))
}
