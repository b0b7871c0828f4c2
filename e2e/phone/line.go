package phone

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Line carries whole SIP messages to a server and back.
type Line interface {
	// Write sends one message.
	Write(msg []byte) error
	// Read waits for the next message, until deadline.
	Read(deadline time.Time) ([]byte, error)
	// Local is the address on this side, as it goes into Via.
	Local() string
	// Transport is the Via word: UDP, TCP, TLS, WS or WSS.
	Transport() string
	Close() error
}

// Dial opens a line. transport is udp, tcp, tls, ws or wss; addr is host:port. tlsConfig may be nil where no TLS is.
func Dial(ctx context.Context, transport, addr string, tlsConfig *tls.Config) (Line, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	switch transport {
	case "udp":
		c, err := d.DialContext(ctx, "udp", addr)
		if err != nil {
			return nil, err
		}
		return &datagram{c: c, buf: make([]byte, 65536)}, nil
	case "tcp":
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &stream{c: c, r: bufio.NewReader(c), transport: "TCP"}, nil
	case "tls":
		c, err := (&tls.Dialer{NetDialer: &d, Config: tlsConfig}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &stream{c: c, r: bufio.NewReader(c), transport: "TLS"}, nil
	case "ws", "wss":
		return dialWebSocket(ctx, transport, addr, tlsConfig)
	}
	return nil, fmt.Errorf("unknown transport %q", transport)
}

// DialFrom opens a UDP line from a certain address of this machine, host or host:port, as that of a carrier.
func DialFrom(ctx context.Context, local, addr string) (Line, error) {
	if !strings.Contains(local, ":") {
		local += ":0"
	}
	from, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{LocalAddr: from}
	c, err := d.DialContext(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	return &datagram{c: c, buf: make([]byte, 65536)}, nil
}

type datagram struct {
	c   net.Conn
	buf []byte
}

func (l *datagram) Write(msg []byte) error { _, err := l.c.Write(msg); return err }

func (l *datagram) Read(deadline time.Time) ([]byte, error) {
	if err := l.c.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	n, err := l.c.Read(l.buf)
	return bytes.Clone(l.buf[:n]), err
}

func (l *datagram) Local() string     { return l.c.LocalAddr().String() }
func (l *datagram) Transport() string { return "UDP" }
func (l *datagram) Close() error      { return l.c.Close() }

type stream struct {
	c         net.Conn
	r         *bufio.Reader
	transport string
}

func (l *stream) Write(msg []byte) error { _, err := l.c.Write(msg); return err }

// Read frames by Content-Length (RFC 3261 §18.3); keep-alive answers between messages are skipped.
func (l *stream) Read(deadline time.Time) ([]byte, error) {
	if err := l.c.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	var head bytes.Buffer
	length := 0
	for {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if head.Len() == 0 && strings.TrimSpace(line) == "" {
			continue
		}
		head.WriteString(line)
		if strings.TrimSpace(line) == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok && (strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "l")) {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, err
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(l.r, body); err != nil {
		return nil, err
	}
	return append(head.Bytes(), body...), nil
}

func (l *stream) Local() string     { return l.c.LocalAddr().String() }
func (l *stream) Transport() string { return l.transport }
func (l *stream) Close() error      { return l.c.Close() }

type webSocket struct {
	c         *websocket.Conn
	transport string
}

func dialWebSocket(ctx context.Context, scheme, addr string, tlsConfig *tls.Config) (Line, error) {
	c, res, err := websocket.Dial(ctx, scheme+"://"+addr+"/", &websocket.DialOptions{
		Subprotocols: []string{"sip"}, // RFC 7118 §4
		HTTPClient:   httpClient(tlsConfig),
	})
	if err != nil {
		return nil, err
	}
	if res.Header.Get("Sec-WebSocket-Protocol") != "sip" {
		return nil, errors.Join(errors.New("the server did not choose the subprotocol sip"), c.CloseNow())
	}
	return &webSocket{c: c, transport: strings.ToUpper(scheme)}, nil
}

func (l *webSocket) Write(msg []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return l.c.Write(ctx, websocket.MessageText, msg)
}

func (l *webSocket) Read(deadline time.Time) ([]byte, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	_, b, err := l.c.Read(ctx)
	return b, err
}

// Local is a made-up name: a browser does not know its address (RFC 7118 §5).
func (l *webSocket) Local() string     { return "df7jal23ls0d.invalid" }
func (l *webSocket) Transport() string { return l.transport }
func (l *webSocket) Close() error      { return l.c.Close(websocket.StatusNormalClosure, "") }
