package transport

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// cut runs a framer over a stream that arrives in pieces of the given size and writes down what it finds.
func cut(stream []byte, piece, maxMessage, maxHeaders int) []string {
	f := framer{maxMessage: maxMessage, maxHeaders: maxHeaders}
	defer f.recycle()
	var found []string
	for len(stream) > 0 {
		n := copy(f.space(), stream[:min(piece, len(stream))])
		stream = stream[n:]
		f.grow(n)
		for more := true; more; {
			kind, msg, why := f.next()
			switch kind {
			case frameMore:
				more = false
				f.release()
			case framePing:
				found = append(found, "ping")
			case frameBad:
				return append(found, "bad: "+dropNames[why])
			case frameMessage:
				found = append(found, "message: "+string(msg))
			}
		}
	}
	if f.partial() {
		found = append(found, "partial")
	}
	return found
}

func TestFramer(t *testing.T) {
	one := string(request(1, 10))
	start := "OPTIONS sip:a@b SIP/2.0\r\n"
	for _, tc := range []struct {
		name, stream string
		want         []string
	}{
		{"one message", one, []string{"message: " + one}},
		{"two at once", one + one, []string{"message: " + one, "message: " + one}},
		{"line ends before a message", "\r\n" + one, []string{"message: " + one}},
		{"a ping between", one + "\r\n\r\n" + one, []string{"message: " + one, "ping", "message: " + one}},
		{"two pings", "\r\n\r\n\r\n\r\n", []string{"ping", "ping"}},
		{"a lone CRLF is a pong", "\r\n", nil},
		{"half a message", one[:40], []string{"partial"}},
		{"body missing", one[:len(one)-1], []string{"partial"}},
		{"short form", start + "l: 2\r\n\r\nhi", []string{"message: " + start + "l: 2\r\n\r\nhi"}},
		{"blanks and case", start + "content-LENGTH \t:  2 \r\n\r\nhi", []string{"message: " + start + "content-LENGTH \t:  2 \r\n\r\nhi"}},
		{"folded", start + "Content-Length:\r\n 2\r\n\r\nhi", []string{"message: " + start + "Content-Length:\r\n 2\r\n\r\nhi"}},
		{"twice the same", start + "l: 0\r\nContent-Length: 0\r\n\r\n", []string{"message: " + start + "l: 0\r\nContent-Length: 0\r\n\r\n"}},
		{"twice, not the same", start + "l: 0\r\nContent-Length: 5\r\n\r\n", []string{"bad: content_length"}},
		{"negative", start + "l: -1\r\n\r\n", []string{"bad: content_length"}},
		{"no number", start + "l: 1x\r\n\r\n", []string{"bad: content_length"}},
		{"empty", start + "l:\r\n\r\n", []string{"bad: content_length"}},
		{"missing", start + "\r\n", []string{"bad: no_content_length"}},
		{"only a header like it", start + "X-Content-Length: 3\r\n\r\n", []string{"bad: no_content_length"}},
		{"a folded line is no header", start + "Subject: a\r\n l: 3\r\n\r\n", []string{"bad: no_content_length"}},
		{"too large a body", start + "l: 99999999999999999999\r\n\r\n", []string{"bad: oversize"}},
		{"too much header", start + "X: " + strings.Repeat("x", 3000) + "\r\nl: 0\r\n\r\n", []string{"bad: header_size"}},
		{"endless header", start + "X: " + strings.Repeat("x", 9000), []string{"bad: header_size"}},
		{"endless start line", "OPTIONS sip:" + strings.Repeat("x", 9000), []string{"bad: header_size"}},
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", []string{"bad: start_line"}},
		{"TLS on a TCP port", "\x16\x03\x01\x02\x00\x01\x00", []string{"bad: start_line"}},
		{"NUL in a header", start + "X: \x00\r\nl: 0\r\n\r\n", []string{"bad: nul"}},
		{"NUL in a body", start + "l: 1\r\n\r\n\x00", []string{"message: " + start + "l: 1\r\n\r\n\x00"}},
		{"larger than the buffer", string(request(1, 5000)), []string{"message: " + string(request(1, 5000))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 7, 1000, 1 << 20} {
				got := cut([]byte(tc.stream), piece, 8000, 2000)
				if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
					t.Errorf("in pieces of %d:\n got %.300q\nwant %.300q", piece, got, tc.want)
				}
			}
		})
	}
}

// FuzzFramer: whatever comes, in whatever pieces, the framer finds the same things, never more bytes than came, and nothing
// over its limits.
func FuzzFramer(f *testing.F) {
	f.Add(request(1, 10), 3)
	f.Add(append(request(1, 0), request(2, 5)...), 100)
	f.Add([]byte("\r\n\r\n\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\n"), 1)
	f.Add([]byte("OPTIONS sip:a SIP/2.0\r\nContent-Length:\r\n\t 3\r\nl:3\r\n\r\nabc"), 5)
	f.Add(bytes.Repeat([]byte("A"), 3000), 64)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		const maxMessage, maxHeaders = 6000, 1500
		piece = max(1, min(piece, 1<<16))
		whole := cut(stream, 1<<20, maxMessage, maxHeaders)
		pieces := cut(stream, piece, maxMessage, maxHeaders)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Fatalf("in pieces of %d:\n got %.500q\nwant %.500q", piece, pieces, whole)
		}
		total := 0
		for _, w := range whole {
			if msg, ok := strings.CutPrefix(w, "message: "); ok {
				if total += len(msg); len(msg) > maxMessage {
					t.Fatalf("a message of %d bytes", len(msg))
				}
				if !strings.Contains(msg, "\r\n\r\n") {
					t.Fatalf("a message without an end of header: %q", msg)
				}
			}
		}
		if total > len(stream) {
			t.Fatalf("%d bytes of messages in %d bytes", total, len(stream))
		}
	})
}
