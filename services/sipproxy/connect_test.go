package sipproxy

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/sipua/transport"
)

// carrier answers SIP on connections it is called by: 200 to every request.
type carrier struct {
	address     netip.AddrPort
	connections chan net.Conn
}

func newCarrier(t *testing.T, config *tls.Config) *carrier {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	c := &carrier{address: netip.MustParseAddrPort(ln.Addr().String()), connections: make(chan net.Conn, 8)}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.connections <- conn
			go answerAll(conn)
		}
	}()
	return c
}

// answerAll ends with the connection.
func answerAll(conn net.Conn) {
	defer conn.Close()
	parser := sip.NewParser().NewSIPStream()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		_ = parser.ParseSIPStream(buf[:n], func(m sip.Message) {
			if req, ok := m.(*sip.Request); ok && !req.IsAck() {
				_, _ = conn.Write([]byte(sip.NewResponseFromRequest(req, 200, "OK", nil).String()))
			}
		})
	}
}

// ask sends an OPTIONS by a token and returns the status of the answer.
func (h *house) ask(t *testing.T, id string, f sipua.Flow) int {
	t.Helper()
	token := h.s.tokens.Load().Encode(f)
	req := sip.NewRequest(sip.OPTIONS, sip.Uri{Scheme: "sip", Host: "carrier.test"})
	for _, f := range [][2]string{{"Via", "SIP/2.0/UDP node.parley.invalid;branch=z9hG4bK" + id}, {"Max-Forwards", "70"},
		{"Route", "<sip:" + token + "@node.parley.invalid;lr>"}, {"From", "<sip:p@demo.local>;tag=" + id}, {"To", "<sip:carrier.test>"},
		{"Call-ID", id}, {"CSeq", "1 OPTIONS"}} {
		req.AppendHeader(sip.NewHeader(f[0], f[1]))
	}
	req.SetBody(nil)
	answer := make(chan int, 1)
	if _, err := h.s.Send(req, func(res *sip.Response, err error) {
		if err != nil {
			answer <- -1
			return
		}
		answer <- res.StatusCode
	}); err != nil {
		t.Fatal(err)
	}
	return <-answer
}

// A node's request to a trunk opens a connection, later ones use it, and one that ended is opened anew.
func TestConnectionsToTrunks(t *testing.T) {
	h := start(t, nil)
	c := newCarrier(t, nil)
	to := sipua.Flow{Door: h.f.Node(), Node: h.f.Node(), Transport: transport.TCP, Remote: c.address}
	for _, id := range []string{"one", "two", "three"} {
		if status := h.ask(t, id, to); status != 200 {
			t.Fatalf("%s: %d", id, status)
		}
	}
	if n := len(c.connections); n != 1 {
		t.Fatalf("%d connections for three requests", n)
	}
	(<-c.connections).Close()
	eventually(t, "the end of the connection is seen", func() bool {
		_, open := h.s.set.Connected(peerOf(to))
		return !open
	})
	if status := h.ask(t, "four", to); status != 200 {
		t.Errorf("after the connection had ended: %d", status)
	}
	gone := to
	gone.Remote = netip.AddrPortFrom(c.address.Addr(), 1) // nobody listens there
	if status := h.ask(t, "five", gone); status != 430 {
		t.Errorf("nobody there: %d, want 430", status)
	}
}

// Over TLS the certificate must say the name, unless the trunk does not care; and who does not care opens no way for those
// who do.
func TestCertificatesOfTrunks(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := transport.WriteSelfSigned(cert, key, []string{"sip.carrier.test"}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	known := start(t, func(o *Options) { o.Roots = roots })
	strange := start(t, nil)
	c := newCarrier(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	for i, row := range []struct {
		what       string
		h          *house
		name       string
		unverified bool
		want       int
	}{
		{"an authority that nobody vouches for", strange, "sip.carrier.test", false, 430},
		{"the same, unlooked at", strange, "sip.carrier.test", true, 200},
		{"that connection is for those who do not look", strange, "sip.carrier.test", false, 430},
		{"a known authority", known, "sip.carrier.test", false, 200},
		{"another name", known, "other.test", false, 430},
	} {
		f := sipua.Flow{Door: row.h.f.Node(), Node: row.h.f.Node(), Transport: transport.TLS, Remote: c.address, Name: row.name, Unverified: row.unverified}
		if status := row.h.ask(t, string(rune('a'+i)), f); status != row.want {
			t.Errorf("%s: %d, want %d", row.what, status, row.want)
		}
	}
}
