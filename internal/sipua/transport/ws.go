package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/coder/websocket"
)

// SIP over WebSocket (RFC 7118). net/http does the handshakes, each on a goroutine of its own, so that one client
// that says nothing holds up nobody; then the connection is taken from it and read like any other.

// subprotocol has to be asked for and is confirmed (RFC 7118 §4.1).
const subprotocol = "sip"

// webHeaderMax bounds the HTTP request.
const webHeaderMax = 8 << 10

// webServer makes the HTTP server of a ws or wss listener.
func (l *streamListener) webServer() *http.Server {
	limit := l.set.limits.HandshakeTimeout
	return &http.Server{
		Handler:           http.HandlerFunc(l.upgrade),
		ReadHeaderTimeout: limit, // TLS included
		ReadTimeout:       limit,
		IdleTimeout:       limit,
		MaxHeaderBytes:    webHeaderMax,
		// An empty map keeps HTTP/2 off, where the upgrade of RFC 6455 does not exist.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(nc))
		},
		ErrorLog: slog.NewLogLogger(l.set.log.Handler(), slog.LevelDebug),
	}
}

// connKey is where ConnContext leaves the *conn.
type connKey struct{}

// connOf finds our connection below TLS.
func connOf(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return nc.(*sock).conn
}

// webListener gives net/http what our guards let in.
type webListener struct{ *streamListener }

// Accept gives the next connection, in TLS for wss.
func (l webListener) Accept() (net.Conn, error) {
	c, err := l.accept()
	if err != nil {
		return nil, err
	}
	if l.tls != nil {
		return tls.Server(c.sock, l.tls), nil
	}
	return c.sock, nil
}

// Addr is the address bound.
func (l webListener) Addr() net.Addr { return l.tcp.Addr() }

// Close closes the listener.
func (l webListener) Close() error { return l.tcp.Close() }

func (l *streamListener) serveWeb() error { return l.ended(l.http.Serve(webListener{l})) }

// upgrade turns a request into a SIP connection.
func (l *streamListener) upgrade(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	w.Header().Set("Connection", "close") // what is no upgrade ends here
	switch {
	case l.endpoint.path != "" && r.URL.Path != l.endpoint.path:
		http.NotFound(w, r)
		return
	case r.Header.Get("Upgrade") == "":
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "This is a SIP over WebSocket port.", http.StatusUpgradeRequired)
		return
	case !offersSIP(r.Header):
		http.Error(w, `Sec-WebSocket-Protocol must offer "sip" (RFC 7118).`, http.StatusBadRequest)
		return
	}
	w.Header().Del("Connection")
	anyOrigin := slices.Contains(l.set.opts.Origins, "*")
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		OriginPatterns:     l.set.opts.Origins,
		InsecureSkipVerify: anyOrigin,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // Accept has answered
		l.set.log.Debug("WebSocket refused", "source", c.remote, "err", err)
		return
	}
	c.ws = ws
	if !c.becomeReady() {
		ws.CloseNow()
		return
	}
	ws.SetReadLimit(int64(l.set.limits.MaxMessage))
	go c.serveWeb() // counted in Set.work since newConn, until it finishes
}

// offersSIP looks for the subprotocol among those the client offers.
func offersSIP(h http.Header) bool {
	for _, v := range h.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(p), subprotocol) {
				return true
			}
		}
	}
	return false
}

// serveWeb reads a WebSocket until its end: one SIP message is one WebSocket message (RFC 7118 §5). On a connection
// that is closed gently it reads on, for the peer's side of the closing handshake.
func (c *conn) serveWeb() {
	defer c.finish()
	for {
		_, r, err := c.ws.Reader(context.Background())
		if err != nil {
			c.lostWeb(err)
			return
		}
		c.notePartial(true)
		if !c.readWeb(r) {
			return
		}
	}
}

// readWeb reads one WebSocket message and hands it on; false when the connection is to end at once.
func (c *conn) readWeb(r io.Reader) bool {
	pooled := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(pooled)
	b, err := readAll(r, pooled[:0])
	if err != nil {
		c.lostWeb(err)
		return false
	}
	c.partial.Store(0)
	c.stats().receivedBytes.Add(uint64(len(b)))
	if c.closing() {
		return true
	}
	if isKeepAlive(b) {
		c.stats().keepAlives.Add(1)
		return string(b) != string(crlfcrlf) || c.write(crlfWord) == nil // RFC 7118 §6
	}
	if why := checkDatagram(b); why != accepted {
		c.garbage(why)
		return false
	}
	return c.message(b)
}

// readAll appends what r has to b; r has a limit of its own.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// lostWeb notes why reading a WebSocket failed.
func (c *conn) lostWeb(err error) {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.garbage(dropOversize)
	case websocket.CloseStatus(err) != -1:
		c.because(ClosedByPeer)
	default:
		c.lost(err)
	}
}

// ping asks the peer for a sign of life; sock notes the pong.
func (c *conn) ping(now int64) {
	c.pinged.Store(now)
	c.sock.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.set.limits.PingInterval)
		defer cancel()
		if err := c.ws.Ping(ctx); err != nil {
			c.set.log.Debug("WebSocket ping not answered", "source", c.remote, "err", err)
		}
	})
}
