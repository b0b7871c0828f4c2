package transport

import (
	"bytes"
	"sync"
)

// framer cuts a stream into SIP messages (RFC 3261 §18.3): the header ends at an empty line, Content-Length says
// how much body follows. It holds no memory between messages, so that an idle connection costs none.
//
// The unread bytes are buf[start:end]. scanned is how far, counted from start, the end of the header has been
// looked for; need is the length of the message once its header is known, else 0.
type framer struct {
	maxMessage, maxHeaders int

	buf        []byte
	start, end int
	scanned    int
	need       int
	line       bool // the start line of the present message has been checked
	crlf       bool // the last thing consumed was one CRLF between messages
}

const (
	readBuffer = 4096 // what a connection reads into; larger messages take a larger one for their time
	crlf       = "\r\n"
)

var (
	crlfcrlf = []byte("\r\n\r\n")
	crlfWord = []byte(crlf)
)

// readBuffers recycles buffers of readBuffer bytes.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// frame is what next found.
type frame uint8

const (
	frameMore    frame = iota // nothing whole yet: read more
	frameMessage              // a message
	framePing                 // CRLFCRLF, to be answered with CRLF (RFC 5626 §3.5.1)
	frameBad                  // no SIP: the stream cannot be cut any more
)

// space returns where to read the next bytes to; grow tells how many came. It is never empty after frameMore.
func (f *framer) space() []byte {
	if f.buf == nil {
		f.buf = readBuffers.Get().(*[readBuffer]byte)[:]
	}
	if f.end < len(f.buf) && f.start+f.need <= len(f.buf) {
		return f.buf[f.end:]
	}
	// The message does not fit where it is: move it to the front, of a larger buffer if it has to be.
	size := len(f.buf)
	if f.need > size {
		size = f.need
	} else if f.start == 0 && f.need == 0 {
		size = min(2*size, f.maxHeaders+readBuffer) // next has refused longer headers before this is full
	}
	if size > len(f.buf) {
		bigger := make([]byte, size)
		f.end = copy(bigger, f.buf[f.start:f.end])
		f.recycle()
		f.buf = bigger
	} else {
		f.end = copy(f.buf, f.buf[f.start:f.end])
	}
	f.start = 0
	return f.buf[f.end:]
}

// grow says that n bytes were read into space.
func (f *framer) grow(n int) { f.end += n }

// partial tells whether a message has begun and is not whole.
func (f *framer) partial() bool { return f.end > f.start }

// release gives the memory back when nothing is unread.
func (f *framer) release() {
	if f.start == f.end {
		f.recycle()
		f.buf, f.start, f.end = nil, 0, 0
	}
}

// discard forgets what is unread.
func (f *framer) discard() {
	f.start, f.end, f.scanned, f.need, f.line, f.crlf = 0, 0, 0, 0, false, false
}

func (f *framer) recycle() {
	if len(f.buf) == readBuffer {
		readBuffers.Put((*[readBuffer]byte)(f.buf))
	}
}

// next takes the next thing off the stream. A message is valid until space is called.
func (f *framer) next() (kind frame, msg []byte, why dropReason) {
	if !f.line && f.need == 0 {
		if ping, done := f.skipCRLF(); ping {
			return framePing, nil, accepted
		} else if done {
			return frameMore, nil, accepted
		}
	}
	if f.need == 0 {
		if kind, why = f.header(); kind != frameMessage {
			return kind, nil, why
		}
	}
	if f.end-f.start < f.need {
		return frameMore, nil, accepted
	}
	msg = f.buf[f.start : f.start+f.need : f.start+f.need]
	f.start += f.need
	f.need, f.scanned, f.line, f.crlf = 0, 0, false, false
	return frameMessage, msg, accepted
}

// skipCRLF takes line ends before a start line: two in a row are a ping, one is the answer to ours or a phone's own
// idea of a keep-alive. done means that nothing else is there yet.
func (f *framer) skipCRLF() (ping, done bool) {
	for {
		rest := f.buf[f.start:f.end]
		if len(rest) < 2 {
			return false, len(rest) == 0 || rest[0] == '\r'
		}
		if !bytes.HasPrefix(rest, crlfWord) {
			return false, false
		}
		f.start += 2
		if f.crlf {
			f.crlf = false
			return true, false
		}
		f.crlf = true
	}
}

// header looks for the end of the header and learns the length of the message. frameMessage: need is set.
func (f *framer) header() (frame, dropReason) {
	rest := f.buf[f.start:f.end]
	if !f.line {
		lf := bytes.IndexByte(rest, '\n')
		switch {
		case !tokenChar[rest[0]]: // TLS on a TCP port, and most else, is known by its first byte
			return frameBad, dropStartLine
		case lf < 0:
			return f.unfinished(rest)
		case lf >= f.maxHeaders: // the reason does not depend on how the bytes were cut
			return frameBad, dropHeaderSize
		case !isStartLine(rest[:lf]):
			return frameBad, dropStartLine
		}
		f.line = true
	}
	from := max(f.scanned-len(crlfcrlf)+1, 0)
	at := bytes.Index(rest[from:], crlfcrlf)
	if at < 0 {
		f.scanned = len(rest)
		return f.unfinished(rest)
	}
	head := from + at + len(crlfcrlf)
	if head > f.maxHeaders {
		return frameBad, dropHeaderSize
	}
	if bytes.IndexByte(rest[:head], 0) >= 0 {
		return frameBad, dropNUL
	}
	body, why := contentLength(rest[:head], f.maxMessage)
	if why != accepted {
		return frameBad, why
	}
	if f.need = head + body; f.need > f.maxMessage {
		return frameBad, dropOversize
	}
	return frameMessage, accepted
}

// unfinished decides about a header whose end has not come.
func (f *framer) unfinished(rest []byte) (frame, dropReason) {
	if len(rest) >= f.maxHeaders {
		return frameBad, dropHeaderSize
	}
	return frameMore, accepted
}

// contentLength reads Content-Length or its short form l (RFC 3261 §20.14) from a whole header. It must be there,
// and more than one must agree: two parsers that cut a stream differently are a way to smuggle messages.
func contentLength(head []byte, limit int) (n int, why dropReason) {
	n = -1
	for rest := head; ; {
		lf := bytes.IndexByte(rest, '\n')
		if lf < 0 {
			break
		}
		line := rest[:lf]
		rest = rest[lf+1:]
		colon := bytes.IndexByte(line, ':')
		if colon < 0 || !isContentLength(bytes.TrimRight(line[:colon], " \t")) {
			continue
		}
		value := line[colon+1:]
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') { // a folded line (RFC 3261 §7.3.1)
			lf := bytes.IndexByte(rest, '\n')
			value = append(value[:len(value):len(value)], rest[:lf]...)
			rest = rest[lf+1:]
		}
		v, ok := parseLength(bytes.Trim(value, " \t\r"), limit)
		if !ok || n >= 0 && n != v {
			return 0, dropContentLength
		}
		n = v
	}
	if n < 0 {
		return 0, dropNoContentLength
	}
	return n, accepted
}

func isContentLength(name []byte) bool {
	return len(name) == 1 && name[0]|0x20 == 'l' || len(name) == 14 && foldsTo(name, "CONTENT-LENGTH")
}

// parseLength reads digits and nothing else. A number above limit comes back as limit+1: too much, however much.
func parseLength(b []byte, limit int) (int, bool) {
	if !isDigits(b) {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if n = n*10 + int(c-'0'); n > limit {
			return limit + 1, true
		}
	}
	return n, true
}
