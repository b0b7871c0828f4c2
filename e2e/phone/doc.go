// Package phone is a scripted SIP phone for tests and load runs: it registers with digest over UDP, TCP, TLS, WS
// and WSS, and sends any bytes a test wants to send (Phone). As an Agent it makes and takes calls, and repeats what is lost; an
// Audio is one end of their RTP and RTCP.
//
// It is written from the RFCs and shares no code with the platform, so that both are not wrong in the same way.
// A Phone is used by one goroutine, an Agent by any; a Line may be shared by the phones of one goroutine.
package phone
