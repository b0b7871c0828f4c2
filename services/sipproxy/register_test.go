package sipproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

func TestRegisterReachesTheRegistrar(t *testing.T) {
	h := start(t, nil)
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			h.answers(func(*contract.RegisterRequest) (*contract.RegisterResponse, error) {
				return &contract.RegisterResponse{Status: 401, Reason: "Unauthorized", Headers: []contract.Header{{Name: "WWW-Authenticate", Value: `Digest realm="x"`}}}, nil
			})
			p := dial(t, network, h.address(network))
			lines := p.registerLines(1, "Supported: Path, outbound", "m: <sip:a@b;x=1>;q=0.5, <sip:c@d>",
				"Authorization: Digest username=\"a, b\", realm=\"x\"", "User-Agent: Test 1.0", "Expires: 600", "Path: <sip:p1;lr>, <sip:p2;lr>")
			p.send(lines...)
			first := p.read()
			if first.Status() != 401 || string(first.Lookup("WWW-Authenticate")) != `Digest realm="x"` || first.Tag(wire.To) == nil {
				t.Fatalf("answer:\n%s", first.Data)
			}
			var via wire.ViaValue
			first.TopVia(&via)
			if rport, _ := wire.Param(via.Params, "rport"); string(rport) != fmt.Sprint(addrPort(p.addr()).Port()) {
				t.Errorf("Via = %s", first.Get(wire.Via))
			}
			p.send(lines...) // a retransmission
			if again := p.read(); !bytes.Equal(again.Data, first.Data) {
				t.Errorf("answer to the retransmission differs:\n%s", again.Data)
			}
			h.mu.Lock()
			r := h.registered[len(h.registered)-1]
			h.mu.Unlock()
			flow := r.Flow
			r2 := *r
			r2.Received, r2.Flow = time.Time{}, ""
			want := contract.RegisterRequest{
				RequestURI: "sip:demo.local", Host: "demo.local", ToUser: "1001", ToHost: "demo.local", CallID: "reg-" + p.addr(), CSeq: 1,
				Contacts: []string{"<sip:1001@" + p.addr() + ">", "<sip:a@b;x=1>;q=0.5", "<sip:c@d>"}, Expires: "600",
				Path: []string{"<sip:p1;lr>", "<sip:p2;lr>"}, Supported: []string{"path", "outbound"}, UserAgent: "Test 1.0",
				Authorization: []string{`Digest username="a, b", realm="x"`}, Transport: network, Source: addrPort(p.addr()), Via: p.addr(), Node: "n1",
			}
			if got, want := asJSON(t, r2), asJSON(t, want); got != want {
				t.Errorf("request\n%s\nwant\n%s", got, want)
			}
			if (flow != "") != (network == "tcp") {
				t.Errorf("flow of %s = %q", network, flow)
			}
		})
	}
	if n := h.metric("sipproxy_register_processed_total"); n != 4 {
		t.Errorf("sipproxy_register_processed_total = %v, want 4", n)
	}
}

func asJSON(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRegisterWhenTheRegistrarCannot(t *testing.T) {
	h := start(t, func(o *Options) { o.Config.MaxRegisters = 1 })
	p := dial(t, "udp", h.address("udp"))
	h.answers(func(*contract.RegisterRequest) (*contract.RegisterResponse, error) { return nil, voice.ErrUnavailable })
	p.send(p.registerLines(1)...)
	if m := p.read(); m.Status() != 503 || m.Lookup("Retry-After") == nil {
		t.Errorf("registrar away:\n%s", m.Data)
	}
	block := make(chan struct{})
	h.answers(func(*contract.RegisterRequest) (*contract.RegisterResponse, error) {
		<-block
		return &contract.RegisterResponse{Drop: true}, nil
	})
	p.send(p.registerLines(2, credentials)...)
	eventually(t, "one REGISTER is at the registrar", func() bool { return h.s.registering.Load() == 1 })
	p.send(p.registerLines(3)...)
	if m := p.read(); m.Status() != 503 || !strings.Contains(string(m.Get(wire.CSeq)), "3") {
		t.Errorf("one too many:\n%s", m.Data)
	}
	close(block)
	eventually(t, "it came back", func() bool { return h.s.registering.Load() == 0 })
	p.silent(50 * time.Millisecond) // the registrar said to drop it
}

func TestLostConnectionIsTold(t *testing.T) {
	h := start(t, nil)
	p := dial(t, "tcp", h.address("tcp"))
	p.send(p.registerLines(1)...)
	p.expect("200")
	quiet := dial(t, "tcp", h.address("tcp")) // registers nothing, so its end is nobody's business
	quiet.send("OPTIONS sip:x SIP/2.0", "Via: SIP/2.0/TCP h;branch=z9hG4bKo", "From: <sip:a@b>;tag=1", "To: <sip:x>", "Call-ID: o", "CSeq: 1 OPTIONS", "Content-Length: 0")
	quiet.expect("200")
	quiet.conn.Close()
	p.conn.Close()
	eventually(t, "the registrar hears of it", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.closed) == 1 && h.closed[0].Node == "n1" && h.closed[0].Flow == h.registered[0].Flow
	})
	eventually(t, "nothing is remembered", func() bool { return h.s.alive.n.Load() == 0 })
}

func TestKeepAliveForNATedBindings(t *testing.T) {
	for _, method := range []string{KeepAliveCRLF, KeepAliveOptions} {
		t.Run(method, func(t *testing.T) {
			h := start(t, func(o *Options) { o.Config.KeepAlive, o.Config.KeepAliveInterval = method, time.Second })
			direct, nated := dial(t, "udp", h.address("udp")), dial(t, "udp", h.address("udp"))
			direct.send(direct.registerLines(1)...)
			direct.expect("200")
			nated.send(strings.Split(strings.ReplaceAll(strings.Join(nated.registerLines(1), "\n"), "Contact: <sip:1001@"+nated.addr(), "Contact: <sip:1001@10.0.0.7:5060"), "\n")...)
			nated.expect("200")
			buf := make([]byte, 1500)
			if err := nated.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			n, err := nated.conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(buf[:n]); method == KeepAliveCRLF && got != "\r\n\r\n" || method == KeepAliveOptions && !strings.HasPrefix(got, "OPTIONS sip:"+nated.addr()) {
				t.Errorf("keep-alive = %q", got)
			}
			if err := direct.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := direct.conn.Read(buf); err == nil {
				t.Errorf("a phone without NAT got %q", buf[:n])
			}
			nated.send(nated.registerLines(2, "Expires: 0")...) // the fake registrar grants again, so it stays
			nated.expect("200")
		})
	}
}

func TestOptionsTellNothing(t *testing.T) {
	h := start(t, nil)
	p := dial(t, "udp", h.address("udp"))
	ask := func(uri string) string {
		p.send("OPTIONS "+uri+" SIP/2.0", "Via: SIP/2.0/UDP "+p.addr()+";branch=z9hG4bKo", "From: <sip:a@b>;tag=1", "To: <sip:x@y>",
			"Call-ID: same", "CSeq: 1 OPTIONS", "Route: <sip:forged@"+h.address("udp")+";lr>", "Content-Length: 0")
		return string(p.expect("200").Data)
	}
	known, unknown := ask("sip:1001@demo.local"), ask("sip:nobody@elsewhere")
	if known != unknown || !strings.Contains(known, "Allow: INVITE") {
		t.Errorf("answers differ:\n%s\n%s", known, unknown)
	}
}

func TestStrangersGetCheapAnswers(t *testing.T) {
	h := start(t, nil)
	p := dial(t, "udp", h.address("udp"))
	head := []string{"Via: SIP/2.0/UDP " + p.addr() + ";branch=z9hG4bKx", "From: <sip:a@b>;tag=1", "To: <sip:x@y>", "Call-ID: c"}
	ask := func(status int, lines ...string) {
		t.Helper()
		p.send(lines...)
		if m := p.read(); m.Status() != status {
			t.Errorf("%s: %d, want %d", lines[0], m.Status(), status)
		}
	}
	ask(501, append([]string{"HACK sip:x SIP/2.0", "CSeq: 1 HACK"}, head...)...)
	ask(505, append([]string{"INVITE sip:x SIP/3.0", "CSeq: 1 INVITE"}, head...)...)
	ask(400, append([]string{"INVITE sip:x SIP/2.0", "CSeq: 1 BYE"}, head...)...)
	ask(420, append([]string{"REGISTER sip:x SIP/2.0", "CSeq: 1 REGISTER", "Proxy-Require: foo"}, head...)...)
	ask(481, append([]string{"BYE sip:x SIP/2.0", "CSeq: 2 BYE"}, strings.Split(strings.Replace(strings.Join(head, "\n"), "y>", "y>;tag=2", 1), "\n")...)...)
	ask(483, append([]string{"MESSAGE sip:x SIP/2.0", "CSeq: 3 MESSAGE", "Max-Forwards: 0"}, head...)...)
	ask(503, append([]string{"MESSAGE sip:x SIP/2.0", "CSeq: 4 MESSAGE"}, strings.Split(strings.Replace(strings.Join(head, "\n"), "z9hG4bKx", "z9hG4bKy", 1), "\n")...)...) // no SIP node
	p.send("INVITE garbage")
	p.silent(50 * time.Millisecond)
	eventually(t, "abuse is reported", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		weight := 0
		for _, r := range h.abuse {
			weight += r.Weight
		}
		return weight >= 3 && h.abuse[0].Source == addrPort(p.addr()).Addr()
	})
	if got := h.metric("sipproxy_requests_total", "method=other"); got != 1 {
		t.Errorf("requests of unknown method = %v, want 1", got)
	}
}

func TestBansAreEnforced(t *testing.T) {
	h := start(t, nil)
	p := dial(t, "udp", h.address("udp"))
	key := fabric.Key("127.0.0.1")
	bucket := h.f.Bucket(fabric.BucketBans)
	ban, err := json.Marshal(contract.Ban{Source: netip.MustParseAddr("127.0.0.1"), Until: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), key, ban, fabric.PutOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ban arrives", func() bool { return h.s.bans.Banned(netip.MustParseAddr("127.0.0.1")) })
	p.send(p.registerLines(1)...)
	p.silent(50 * time.Millisecond)
	if err := bucket.Delete(t.Context(), key, fabric.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ban is lifted", func() bool { return !h.s.bans.Banned(netip.MustParseAddr("127.0.0.1")) })
	p.send(p.registerLines(2)...)
	p.expect("200")
}

// TestTortureMessages sends every message of RFC 4475 over UDP; afterwards the front door still answers.
func TestTortureMessages(t *testing.T) {
	node := newLocalNode()
	h := start(t, func(o *Options) { o.Node = node })
	files, err := filepath.Glob("../../internal/sipua/wire/testdata/torture/*.dat")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	conn, err := net.Dial("udp", h.address("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	p := dial(t, "udp", h.address("udp"))
	p.send(p.registerLines(1)...)
	p.expect("200")
	eventually(t, "every message is handled", func() bool { return h.s.layer.Waiting() == 0 })
	if n := h.metric("parley_sip_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
	for _, id := range []string{"esc01.", "longreq."} { // valid, and no part of a dialog as wsinv is
		eventually(t, "valid INVITE "+id+" reaches the node", func() bool { return node.got(id) })
	}
}
