package transport

import "bytes"

// dropReason says why something was turned away before it became a message. The values index counters; their
// names are the label of parley_sip_dropped_total.
type dropReason uint8

const (
	accepted dropReason = iota // not dropped
	dropBanned
	dropSourceRate
	dropStrangersRate
	dropOversize
	dropStartLine
	dropNUL
	dropSTUN
	dropNoContentLength
	dropContentLength
	dropHeaderSize
	dropPanic
	dropConnections
	dropPerSource
	dropConnectRate
	dropReasons // how many there are
)

var dropNames = [dropReasons]string{
	dropBanned:          "banned",
	dropSourceRate:      "source_rate",
	dropStrangersRate:   "strangers_rate",
	dropOversize:        "oversize",
	dropStartLine:       "start_line",
	dropNUL:             "nul",
	dropSTUN:            "stun",
	dropNoContentLength: "no_content_length",
	dropContentLength:   "content_length",
	dropHeaderSize:      "header_size",
	dropPanic:           "panic",
	dropConnections:     "connections",
	dropPerSource:       "connections_source",
	dropConnectRate:     "connect_rate",
}

// keepAliveMax is the longest datagram looked at as a keep-alive. Phones send two or four bytes; some pad.
const keepAliveMax = 16

// isKeepAlive tells whether a datagram only keeps a NAT open: empty, or a few line ends, blanks and zeros
// (RFC 5626 §3.5.1 has CRLFCRLF on streams; on UDP phones send what they like).
func isKeepAlive(b []byte) bool {
	if len(b) > keepAliveMax {
		return false
	}
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 && c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}

// checkDatagram decides whether a datagram may be SIP: a start line, and no NUL in what could be headers. Bodies may
// hold any byte (RFC 4475 §3.1.1.11).
func checkDatagram(b []byte) dropReason {
	end := bytes.IndexByte(b, '\n')
	if end < 0 || !isStartLine(b[:end]) {
		return dropStartLine
	}
	return checkNUL(b)
}

// checkNUL looks for NUL before the first empty line.
func checkNUL(b []byte) dropReason {
	if nul := bytes.IndexByte(b, 0); nul >= 0 {
		if head := bytes.Index(b, crlfcrlf); head < 0 || nul < head {
			return dropNUL
		}
	}
	return accepted
}

// methodMax bounds the method token; the longest in RFC 4475 has 44 bytes.
const methodMax = 64

// isStartLine tells whether line, its LF cut off, looks like a Request-Line or Status-Line (RFC 3261 §7.1, §7.2). It is a
// sieve, not a parser: it lets through what a parser should answer with 400 or 505, such as blanks in the URI or
// another version, and stops what is no SIP at all.
func isStartLine(line []byte) bool {
	line = bytes.TrimRight(line, " \t\r")
	if len(line) >= 4 && foldsTo(line[:4], "SIP/") {
		return isStatusLine(line)
	}
	sp := 0
	for sp < len(line) && tokenChar[line[sp]] {
		sp++
	}
	if sp == 0 || sp > methodMax || sp >= len(line) || line[sp] != ' ' {
		return false
	}
	version := bytes.LastIndexByte(line, ' ')
	// Between the two blanks stands a URI of one byte or more.
	return version > sp+1 && isVersion(line[version+1:]) && !hasControl(line[sp:version])
}

// isStatusLine checks "SIP/2.0 NNN" and a blank or the end.
func isStatusLine(line []byte) bool {
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 || !isVersion(line[:sp]) || len(line) < sp+4 {
		return false
	}
	for _, c := range line[sp+1 : sp+4] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(line) == sp+4 || line[sp+4] == ' '
}

// isVersion checks "SIP/" digits "." digits, in any case (RFC 3261 §7.1).
func isVersion(b []byte) bool {
	if len(b) < 7 || len(b) > 12 || !foldsTo(b[:4], "SIP/") {
		return false
	}
	major, minor, ok := bytes.Cut(b[4:], []byte{'.'})
	return ok && isDigits(major) && isDigits(minor)
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// foldsTo tells whether b is the upper-case ASCII word in any case.
func foldsTo(b []byte, word string) bool {
	for i := range b {
		c := b[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return len(b) == len(word)
}

// tokenChar marks the bytes of a token (RFC 3261 §25.1).
var tokenChar = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "-.!%*_+`'~" {
		t[c] = true
	}
	return t
}()
