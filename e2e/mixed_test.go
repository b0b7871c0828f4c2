package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/porttest"
	"parley/internal/voice"
)

// Softphones of two makers and sipp, which sends back what it hears, call each other over different transports. Where a
// phone records, what it heard is what the other played.
func TestMixedPeersTalk(t *testing.T) {
	t.Parallel()
	cases := []struct{ from, by, to, over string }{
		{"baresip", "udp", "linphone", "tcp"},
		{"linphone", "tls", "baresip", "udp"},
		{"linphone", "tcp", "linphone", "tls"},
		{"baresip", "tls", "sipp", "udp"},
		{"linphone", "udp", "sipp", "udp"},
		{"sipp", "tcp", "baresip", "tls"},
		{"sipp", "udp", "linphone", "udp"},
		{"sipp", "tcp", "sipp", "udp"},
	}
	var dns strings.Builder
	ports := porttest.TCP(t, len(cases))
	for i, c := range cases {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", 3000+2*i, nodeSecret)
		contact := ""
		if c.to == "sipp" { // it does not register
			contact = fmt.Sprintf(", options: {TServer: {contact: \"sip:%d@%s\"}}", 3001+2*i, ports[i])
		}
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s%s}\n", 3001+2*i, nodeSecret, contact)
	}
	p := start(t, "mixed", "", "--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: mixed-admin-secret, roles: [system]}]\n"))
	t.Run("calls", func(t *testing.T) {
		for i, c := range cases {
			t.Run(fmt.Sprintf("%s over %s to %s over %s", c.from, c.by, c.to, c.over), func(t *testing.T) {
				t.Parallel()
				caller, callee := &end{p: p, kind: c.from, transport: c.by, number: fmt.Sprint(3000 + 2*i), tone: 500}, &end{p: p, kind: c.to, transport: c.over, number: fmt.Sprint(3001 + 2*i), tone: 900, at: ports[i]}
				callee.start(t)
				caller.start(t)
				caller.call(t, callee.number)
				for _, e := range []*end{caller, callee} {
					if e.kind != "sipp" {
						awaitSound(t, e.dir)
					}
				}
				caller.hangUp(t)
				callee.done(t)
				caller.mustHear(t, callee)
				callee.mustHear(t, caller)
			})
		}
	})
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: len(cases)})
}

// end is one peer of a mixed call.
type end struct {
	p         *platform
	kind      string // baresip, linphone or sipp
	transport string
	number    string
	tone      int    // Hz it plays; a sipp plays back what it hears
	at        string // where a sipp that is called listens

	dir  string
	proc *peer.Process
}

// start runs a softphone and registers it, or a sipp that is called.
func (e *end) start(t *testing.T) {
	t.Helper()
	e.dir = t.TempDir()
	account := peer.Account{User: e.number, Password: nodeSecret, Domain: "demo.local", Transport: e.transport, Server: e.p.sip(e.transport),
		CA: filepath.Join(e.p.dir, "data", "tls", "cert.pem"), Plays: sine(t, filepath.Join(e.dir, "tone.wav"), e.tone), Heard: e.dir, Answer: e.at != ""}
	switch e.kind {
	case "baresip":
		e.proc = peer.Baresip(t, account)
		peer.BaresipRegistered(e.proc)
	case "linphone":
		e.proc = peer.Linphone(t, account)
		peer.LinphoneRegistered(e.proc)
	case "sipp":
		if e.at != "" {
			host, port, _ := strings.Cut(e.at, ":")
			args := append(e.media(t), "-sn", "uas", "-i", host, "-p", port, "-nostdin", "-m", "1", "-timeout", "60")
			e.proc = peer.Start(t, e.dir, nil, "sipp", args...)
		}
	}
}

// media is where a sipp of this end has its audio: an address that no other end uses, and a port beyond those of Parley, which
// listens on all addresses.
func (e *end) media(t *testing.T) []string {
	t.Helper()
	for {
		if _, port, _ := strings.Cut(porttest.TCP(t, 1)[0], ":"); port >= "30000" { // all have five digits
			return []string{"-rtp_echo", "-mi", "127.0.1.1" + e.number[2:], "-mp", port}
		}
	}
}

// call calls a number, and returns when that has answered.
func (e *end) call(t *testing.T, number string) {
	t.Helper()
	switch e.kind {
	case "baresip":
		e.proc.Type("/dial sip:" + number + "@demo.local")
		e.proc.Await(`Call established`, 20*time.Second)
	case "linphone":
		e.proc.Type("call sip:" + number + "@demo.local")
		e.proc.Await(`onnected`, 20*time.Second)
	case "sipp":
		scenario := filepath.Join(e.dir, "uac.xml")
		writeFile(t, scenario, sippCaller)
		mode := map[string]string{"udp": "u1", "tcp": "t1"}[e.transport]
		args := append(e.media(t), e.p.sip(e.transport), "-sf", scenario, "-t", mode, "-i", "127.0.0.1", "-s", number, "-key", "me", e.number,
			"-au", e.number, "-ap", nodeSecret, "-m", "1", "-d", "4000", "-nostdin", "-timeout", "60")
		e.proc = peer.Start(t, e.dir, nil, "sipp", args...)
	}
}

// mustHear checks the recording of an end that makes one, after the call: linphone writes the header of the file last.
func (e *end) mustHear(t *testing.T, other *end) {
	t.Helper()
	if e.kind == "sipp" {
		return
	}
	want := other.tone
	if other.kind == "sipp" {
		want = e.tone
	}
	if hz := loudest(t, e.dir); hz != want {
		t.Errorf("%s heard %d Hz, want %d", e.kind, hz, want)
	}
}

// hangUp ends the call of the caller; a sipp does so by itself.
func (e *end) hangUp(t *testing.T) {
	t.Helper()
	switch e.kind {
	case "baresip":
		e.proc.Type("/hangup")
	case "linphone":
		e.proc.Type("terminate")
	}
	e.done(t)
}

// done waits until the end knows that the call is over.
func (e *end) done(t *testing.T) {
	t.Helper()
	switch e.kind {
	case "baresip":
		e.proc.Await(`session closed|terminated`, 20*time.Second)
	case "linphone":
		e.proc.Await(`Call ended|Call terminated|ended|terminated`, 20*time.Second)
	case "sipp":
		if code := e.proc.Wait(40 * time.Second); code != 0 {
			t.Errorf("sipp ended with %d:\n%s", code, e.proc.Output())
		}
	}
}

// sippCaller is a call with credentials, as long as -d says.
const sippCaller = `<?xml version="1.0" encoding="UTF-8"?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@demo.local SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
Max-Forwards: 70
From: <sip:[me]@demo.local>;tag=[call_number]
To: <sip:[service]@demo.local>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:[me]@[local_ip]:[local_port];transport=[transport]>
Content-Length: 0

  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="407" auth="true"/>
  <send><![CDATA[
ACK sip:[service]@demo.local SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch-3]
Max-Forwards: 70
From: <sip:[me]@demo.local>;tag=[call_number]
To: <sip:[service]@demo.local>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Content-Length: 0

  ]]></send>
  <send retrans="500"><![CDATA[
INVITE sip:[service]@demo.local SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
Max-Forwards: 70
From: <sip:[me]@demo.local>;tag=[call_number]
To: <sip:[service]@demo.local>
Call-ID: [call_id]
CSeq: 2 INVITE
Contact: <sip:[me]@[local_ip]:[local_port];transport=[transport]>
[authentication]
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
Max-Forwards: 70
[routes]
From: <sip:[me]@demo.local>;tag=[call_number]
To: <sip:[service]@demo.local>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 ACK
Content-Length: 0

  ]]></send>
  <pause/>
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
Max-Forwards: 70
[routes]
From: <sip:[me]@demo.local>;tag=[call_number]
To: <sip:[service]@demo.local>[peer_tag_param]
Call-ID: [call_id]
CSeq: 3 BYE
Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
`
