package e2e

import (
	bits "encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
)

// house starts a node with the numbers 1001 to 1009.
func house(t *testing.T, id string) *platform {
	t.Helper()
	var dns strings.Builder
	for n := 1001; n < 1010; n++ {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s}\n", n, nodeSecret)
	}
	return start(t, id, "", "--provision", provision(t, "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n"+dns.String()+
		"    persons: [{username: admin, password: the-admin-secret, roles: [system]}]\n"))
}

// ends are where the node takes RTP and RTCP of one side of a call.
func ends(t *testing.T, c *phone.Call) (rtp, rtcp *net.UDPAddr) {
	t.Helper()
	rtp, rtcp, err := phone.Ends(c.SDP())
	if err != nil {
		t.Fatal(err)
	}
	return rtp, rtcp
}

// digits are the RFC 4733 events that ended, as a receiver counts them: repetitions of one have one timestamp.
func digits(a *phone.Audio) (out []byte) {
	last := map[uint32]bool{}
	for _, p := range a.Got() {
		if p.Type == phone.Digits && len(p.Payload) == 4 && p.Payload[1]&0x80 != 0 && !last[p.Time] {
			last[p.Time] = true
			out = append(out, p.Payload[0])
		}
	}
	return out
}

// reportedOn are the streams that the first report of an RTCP datagram is about (RFC 3550 §6.4).
func reportedOn(b []byte) (streams []uint32) {
	const head, senderInfo, block = 8, 20, 24
	if len(b) < head || b[1] != 200 && b[1] != 201 {
		return nil
	}
	at := head
	if b[1] == 200 {
		at += senderInfo
	}
	for range int(b[0] & 31) {
		if len(b) < at+block {
			break
		}
		streams = append(streams, bits.BigEndian.Uint32(b[at:]))
		at += block
	}
	return streams
}

// What phones send beside audio reaches the other side: digits as events of RFC 4733. Reports go from leg to phone: each hears
// how its own audio arrives.
func TestDigitsAndReports(t *testing.T) {
	t.Parallel()
	p := house(t, "digits")
	k := connect(t, agent(t, p, "1001", "udp"), agent(t, p, "1002", "tcp"))
	k.heard()
	for _, way := range []struct {
		from, to *phone.Audio
		call     *phone.Call
		press    []byte
	}{{k.caller, k.callee, k.out, []byte{1, 2, 11}}, {k.callee, k.caller, k.in, []byte{9, 0}}} {
		rtp, rtcp := ends(t, way.call)
		for i, event := range way.press {
			way.from.Press(rtp, event)
			peer.Poll(t, 10*time.Second, func() error {
				if got := digits(way.to); string(got) != string(way.press[:i+1]) {
					return fmt.Errorf("digits %v arrived of %v", got, way.press[:i+1])
				}
				return nil
			})
		}
		peer.Poll(t, 20*time.Second, func() error {
			way.from.Report(rtcp)
			for _, b := range way.from.Reports() {
				if slices.Contains(reportedOn(b), way.from.SSRC()) {
					return nil
				}
			}
			return fmt.Errorf("nothing about %08x in %d reports", way.from.SSRC(), len(way.from.Reports()))
		})
	}
	if err := k.out.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
}

// A phone behind a NAT sends from another port than its SDP says; what is for it goes where it sends from (symmetric RTP, RFC 4961).
func TestAudioGoesWhereItComesFrom(t *testing.T) {
	t.Parallel()
	p := house(t, "symmetric")
	alice, bob := agent(t, p, "1001", "udp"), agent(t, p, "1002", "udp")
	natted, told, callee := phone.OpenAudio(t), phone.OpenAudio(t), phone.OpenAudio(t)
	k := &talk{t: t, caller: natted, callee: callee}
	k.out = alice.Dial("1002", told.Offer("sendrecv"))
	k.in = <-bob.Incoming
	if err := k.in.Answer(callee.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	if status := k.out.Final(20 * time.Second); status != 200 {
		t.Fatalf("the call ended with %d", status)
	}
	k.heard() // the caller sends from, and hears at, a port that nobody was told
	late := len(told.Got())
	k.heard()
	if n := len(told.Got()) - late; n > 0 {
		t.Errorf("%d packets went to the port of the SDP, though the phone sends from another", n)
	}
	if err := k.in.Bye(); err != nil {
		t.Error(err)
	}
	k.over()
}

// calledBy has a baresip call a scripted phone, and returns the call that came.
func calledBy(t *testing.T, bare *peer.Process, to *phone.Agent) *phone.Call {
	t.Helper()
	peer.BaresipRegistered(bare)
	bare.Type("/dial sip:" + to.Number() + "@demo.local")
	select {
	case in := <-to.Incoming:
		return in
	case <-time.After(20 * time.Second):
		t.Fatalf("no call:\n%s", bare.Output())
		return nil
	}
}

// A real softphone puts the other side on hold, takes it back, and presses keys.
func TestSoftphoneHoldsAndPressesKeys(t *testing.T) {
	t.Parallel()
	p := house(t, "keys")
	bob := agent(t, p, "1002", "udp")
	bare := peer.Baresip(t, peer.Account{User: "1001", Password: nodeSecret, Domain: "demo.local", Transport: "tcp", Server: p.sip("tcp"),
		Plays: sine(t, filepath.Join(t.TempDir(), "tone.wav"), 500)})
	in := calledBy(t, bare, bob)
	audio := phone.OpenAudio(t)
	if err := in.Answer(audio.Offer("sendrecv")); err != nil {
		t.Fatal(err)
	}
	bare.Await(`Call established`, 20*time.Second)
	for i, key := range "27#" {
		bare.Type(string(key))
		peer.Poll(t, 20*time.Second, func() error {
			if got := digits(audio); string(got) != string([]byte{2, 7, 11}[:i+1]) {
				return fmt.Errorf("keys %v arrived after %c", got, key)
			}
			return nil
		})
	}
	for _, step := range []struct{ command, want string }{{"/hold", "a=sendonly"}, {"/resume", "a=sendrecv"}} {
		bare.Type(step.command)
		select {
		case m := <-in.Tells:
			if m.Method != "INVITE" || !strings.Contains(m.Body, step.want) {
				t.Errorf("%s reached the other phone as\n%s", step.command, m.Raw)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not reach the other phone:\n%s", step.command, bare.Output())
		}
	}
	bare.Type("/hangup")
	select {
	case <-in.Ended:
	case <-time.After(20 * time.Second):
		t.Errorf("the other phone was not told:\n%s", bare.Output())
	}
}
