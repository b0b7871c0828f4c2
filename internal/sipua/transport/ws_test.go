package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialWeb is a browser; it offers the subprotocol sip unless told otherwise.
func dialWeb(ctx context.Context, url string, header http.Header, protocols ...string) (*websocket.Conn, error) {
	if protocols == nil {
		protocols = []string{subprotocol}
	}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols: protocols,
		HTTPHeader:   header,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: insecure(), DisableKeepAlives: true}},
	})
	return ws, err
}

// eachWeb runs a test on ws and wss.
func eachWeb(t *testing.T, test func(t *testing.T, tr Transport, o Options)) {
	certs, _, _ := certificate(t)
	for _, tr := range []Transport{WS, WSS} {
		t.Run(string(tr), func(t *testing.T) {
			o := echoOptions(string(tr) + "://127.0.0.1:0")
			o.Certificates = certs
			test(t, tr, o)
		})
	}
}

// browser connects or fails the test.
func browser(t *testing.T, s *Set, tr Transport) (context.Context, *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	ws, err := dialWeb(ctx, fmt.Sprintf("%s://%s", tr, at(t, s, tr)), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	return ctx, ws
}

func echoWeb(t *testing.T, ctx context.Context, ws *websocket.Conn, kind websocket.MessageType, b []byte) {
	t.Helper()
	if err := ws.Write(ctx, kind, b); err != nil {
		t.Fatal(err)
	}
	_, got, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Fatalf("echo %.200q, want %.200q", got, b)
	}
}

func TestWebEcho(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		flows := make(chan Flow, 10)
		echo := o.Handler
		o.Handler = func(m Message) { flows <- m.Flow; echo(m) }
		var closed closings
		o.Closed = closed.note
		s := start(t, o)
		ctx, ws := browser(t, s, tr)
		echoWeb(t, ctx, ws, websocket.MessageText, request(1, 10))
		echoWeb(t, ctx, ws, websocket.MessageBinary, request(2, 60000))
		binary := append(request(3, 0), 0xff, 0x00) // no UTF-8: comes back in a binary frame
		echoWeb(t, ctx, ws, websocket.MessageBinary, binary)
		echoWeb(t, ctx, ws, websocket.MessageText, []byte("OPTIONS sip:a SIP/2.0\r\n\r\n")) // no Content-Length needed here

		ws.Write(ctx, websocket.MessageText, []byte("\r\n\r\n"))
		if _, pong, err := ws.Read(ctx); err != nil || string(pong) != "\r\n" {
			t.Errorf("pong = %q, %v (RFC 7118 §6)", pong, err)
		}
		read := ws.CloseRead(ctx) // reads on, for the pong of the ping below
		if err := ws.Ping(ctx); err != nil {
			t.Errorf("our ping: %v", err)
		}
		f := <-flows
		if f.Transport() != tr || f.ID() == "" {
			t.Errorf("flow %q by %s", f.ID(), f.Transport())
		}
		ws.Close(websocket.StatusNormalClosure, "")
		<-read.Done()
		closed.expect(t, ClosedByPeer)
		if err := f.Send(request(1, 0)); err == nil {
			t.Error("a closed connection took a message")
		}
		if _, ok := s.Flow(f.ID()); ok {
			t.Error("a closed connection is still found")
		}
	})
}

func TestWebOneSilentClientHoldsUpNobody(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		s := start(t, o)
		for range 3 {
			dialTCP(t, at(t, s, tr)) // says nothing, not even a ClientHello
			half := dialTCP(t, at(t, s, tr))
			half.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgr"))
		}
		ctx, ws := browser(t, s, tr)
		echoWeb(t, ctx, ws, websocket.MessageText, request(1, 10))
	})
}

func TestWebSilentClientsAreClosed(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		o.Limits.HandshakeTimeout = 500 * time.Millisecond
		o.Limits.FirstMessageTimeout = 50 * time.Millisecond
		o.Closed = func(Flow, CloseReason) { t.Error("Closed was told of a connection nobody saw") }
		s := start(t, o)
		for _, says := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\nUpgr"} {
			c := dialTCP(t, at(t, s, tr))
			c.Write([]byte(says))
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("after %q the connection stays open", says)
			}
		}
		ctx, ws := browser(t, s, tr) // a WebSocket, but no message
		if _, _, err := ws.Read(ctx); err == nil {
			t.Error("read a message")
		}
		eventually(t, func() bool { return len(s.conns.all(nil)) == 0 }, func() string { return "connections stay in the table" })
	})
}

// rawUpgrade sends a handshake by hand and returns the status.
func rawUpgrade(t *testing.T, s *Set, tr Transport, path string, headers ...string) int {
	t.Helper()
	c := dialTCP(t, at(t, s, tr))
	if tr == WSS {
		c = tls.Client(c, insecure())
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: pbx.example.com\r\n%s\r\n\r\n", path, strings.Join(headers, "\r\n"))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

func TestWebHandshake(t *testing.T) {
	upgrade := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	sip := append(upgrade[:4:4], "Sec-WebSocket-Protocol: chat, SIP")
	origin := func(o string) []string { return append(sip[:5:5], "Origin: "+o) }
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		o.Listen = []string{string(tr) + "://127.0.0.1:0/sip"}
		o.Origins = []string{"https://*.example.org", "phones.example.net"}
		s := start(t, o)
		for _, tc := range []struct {
			name, path string
			headers    []string
			want       int
		}{
			{"a SIP client", "/sip", sip, 101},
			{"no subprotocol", "/sip", upgrade, 400},
			{"another subprotocol", "/sip", append(upgrade[:4:4], "Sec-WebSocket-Protocol: chat"), 400},
			{"another path", "/", sip, 404},
			{"a web page", "/sip", nil, 426},
			{"from the same host", "/sip", origin("https://pbx.example.com"), 101},
			{"from an allowed host", "/sip", origin("https://a.example.org"), 101},
			{"from an allowed host of any scheme", "/sip", origin("http://phones.example.net"), 101},
			{"from an allowed host by the wrong scheme", "/sip", origin("http://a.example.org"), 403},
			{"from elsewhere", "/sip", origin("https://evil.example"), 403},
			{"too large a request", "/sip", append(sip[:5:5], "Cookie: "+strings.Repeat("x", 20000)), 431},
		} {
			t.Run(tc.name, func(t *testing.T) {
				if got := rawUpgrade(t, s, tr, tc.path, tc.headers...); got != tc.want {
					t.Errorf("status %d, want %d", got, tc.want)
				}
			})
		}
	})
	t.Run("any origin", func(t *testing.T) {
		o := echoOptions("ws://127.0.0.1:0")
		o.Origins = []string{"*"}
		if got := rawUpgrade(t, start(t, o), WS, "/", origin("https://evil.example")...); got != 101 {
			t.Errorf("status %d, want 101", got)
		}
	})
}

func TestWebGarbageEndsTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		message []byte
		why     dropReason
	}{
		"no SIP":    {[]byte("hello"), dropStartLine},
		"a NUL":     {[]byte("OPTIONS sip:a SIP/2.0\r\nX: \x00\r\n\r\n"), dropNUL},
		"too large": {request(1, 70000), dropOversize},
	} {
		t.Run(name, func(t *testing.T) {
			eachWeb(t, func(t *testing.T, tr Transport, o Options) {
				var closed closings
				o.Closed = closed.note
				s := start(t, o)
				ctx, ws := browser(t, s, tr)
				echoWeb(t, ctx, ws, websocket.MessageText, request(1, 0))
				ws.Write(ctx, websocket.MessageBinary, tc.message)
				if _, _, err := ws.Read(ctx); err == nil {
					t.Error("read a message")
				}
				expectDropped(t, s, tr, tc.why, 1)
				closed.expect(t, ClosedBadMessage)
			})
		})
	}
}

func TestWebPeerThatDoesNotAnswerPings(t *testing.T) {
	o := echoOptions("ws://127.0.0.1:0")
	o.Limits.PingInterval = 250 * time.Millisecond
	var closed closings
	o.Closed = closed.note
	s := start(t, o)
	ctx, deaf := browser(t, s, WS) // reads one message and nothing after it, so it never sees a ping
	echoWeb(t, ctx, deaf, websocket.MessageText, request(1, 0))
	_, alive := browser(t, s, WS)
	reads := alive.CloseRead(ctx)
	if err := alive.Write(ctx, websocket.MessageText, []byte("\r\n")); err != nil {
		t.Fatal(err)
	}
	closed.expect(t, ClosedNoPong)
	if reads.Err() != nil {
		t.Error("the browser that answers pings was closed")
	}
}

func TestWebFragmentedMessageOfASlowClient(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		o.Limits.PartialTimeout = 400 * time.Millisecond
		var closed closings
		o.Closed = closed.note
		s := start(t, o)
		ctx, ws := browser(t, s, tr)
		w, err := ws.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		whole := request(1, 20000)
		w.Write(whole[:10000]) // a fragment each
		w.Write(whole[10000:])
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.Read(ctx); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("echo %q, %v", got, err)
		}
		if w, err = ws.Writer(ctx, websocket.MessageText); err != nil {
			t.Fatal(err)
		}
		w.Write(whole[:10000]) // and no more
		closed.expect(t, ClosedSlow)
	})
}

func TestWebSlowReaderHoldsUpNobody(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		flows := make(chan Flow, 10)
		var closed closings
		o.Closed = closed.note
		echo := o.Handler
		o.Handler = func(m Message) { flows <- m.Flow; echo(m) }
		s := start(t, o)
		ctx, slow := browser(t, s, tr)
		echoWeb(t, ctx, slow, websocket.MessageText, request(1, 0))
		f := <-flows
		var err error
		for i := 0; err == nil && i < 10000; i++ {
			err = f.Send(request(i, 50000))
		}
		if err == nil {
			t.Error("a peer that never reads was sent 500 MB")
		}
		closed.expect(t, ClosedSlow)
		ctx, quick := browser(t, s, tr)
		echoWeb(t, ctx, quick, websocket.MessageText, request(2, 0))
	})
}

func TestWebCloseInTheHandlerShakesHands(t *testing.T) {
	eachWeb(t, func(t *testing.T, tr Transport, o Options) {
		var closed closings
		o.Closed = closed.note
		echo := o.Handler
		o.Handler = func(m Message) { echo(m); m.Flow.Close() }
		s := start(t, o)
		ctx, ws := browser(t, s, tr)
		echoWeb(t, ctx, ws, websocket.MessageText, request(1, 0))
		if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("the browser sees %v, want status 1001", err)
		}
		closed.expect(t, ClosedByUs)
	})
}
