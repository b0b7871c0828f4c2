package e2e

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/media/secure"
	"parley/internal/voice"
)

// encryptedTenant has numbers whose phones must encrypt (1001), are plain (1002), shake hands (1003), and may encrypt (1004).
const encryptedTenant = `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: %[1]s, options: {TServer: {srtp: required}}}
      - {number: "1002", type: extension, password: %[1]s}
      - {number: "1003", type: extension, password: %[1]s, options: {TServer: {webrtc: "true"}}}
      - {number: "1004", type: extension, password: %[1]s, options: {TServer: {srtp: optional}}}
    persons: [{username: admin, password: the-admin-secret, roles: [system]}]
`

// A phone that encrypts and one that does not talk, whoever calls, and each hears the other: with keys in SDP, and with keys
// from a handshake.
func TestEncryptedAndPlainPhonesTalk(t *testing.T) {
	t.Parallel()
	p := start(t, "encrypted", "", "--provision", provision(t, fmt.Sprintf(encryptedTenant, nodeSecret)))
	calls := 0
	for number, encryption := range map[string]string{"1001": "srtp-mand", "1003": "dtls_srtp"} {
		account := func(t *testing.T, number string, tone int) peer.Account {
			dir := t.TempDir()
			return peer.Account{User: number, Password: nodeSecret, Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
				Plays: sine(t, filepath.Join(dir, "tone.wav"), tone), Heard: dir}
		}
		for _, calling := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, calling %v", encryption, calling), func(t *testing.T) {
				enc, plain := account(t, number, 500), account(t, "1002", 900)
				enc.Encryption = encryption
				enc.Answer, plain.Answer = !calling, calling
				a, b := peer.Baresip(t, enc), peer.Baresip(t, plain)
				peer.BaresipRegistered(a)
				peer.BaresipRegistered(b)
				if calling {
					a.Type("/dial sip:1002@demo.local")
				} else {
					b.Type("/dial sip:" + number + "@demo.local")
				}
				a.Await(`Call established`, 20*time.Second)
				b.Await(`Call established`, 20*time.Second)
				awaitSound(t, enc.Heard)
				awaitSound(t, plain.Heard)
				a.Type("/hangup")
				b.Await(`session closed|terminated`, 20*time.Second)
				if hz := loudest(t, enc.Heard); hz != 900 {
					t.Errorf("the phone that encrypts heard %d Hz, the other played 900\n%s", hz, a.Output())
				}
				if hz := loudest(t, plain.Heard); hz != 500 {
					t.Errorf("the plain phone heard %d Hz, the other played 500\n%s", hz, a.Output())
				}
			})
			calls++
		}
	}
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: calls})
}

// An encrypted phone that holds the other and takes it back goes on under the keys that it has, those of SDP and those of a handshake.
func TestEncryptedPhoneHolds(t *testing.T) {
	t.Parallel()
	p := start(t, "encrypted-holds", "", "--provision", provision(t, fmt.Sprintf(encryptedTenant, nodeSecret)))
	for _, c := range []struct{ encryption, number string }{{"srtp-mand", "1001"}, {"dtls_srtp", "1003"}} {
		t.Run(c.encryption, func(t *testing.T) {
			bob := agent(t, p, "1002", "udp")
			bare := peer.Baresip(t, peer.Account{User: c.number, Password: nodeSecret, Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
				Plays: sine(t, filepath.Join(t.TempDir(), "tone.wav"), 500), Encryption: c.encryption})
			in := calledBy(t, bare, bob)
			ear := phone.OpenAudio(t)
			if err := in.Answer(ear.Offer("sendrecv")); err != nil {
				t.Fatal(err)
			}
			bare.Await(`Call established`, 20*time.Second)
			for range 2 {
				bare.Type("/hold")
				bare.Await(`hold sip:`, 20*time.Second)
				bare.Skip()
				bare.Type("/resume")
				bare.Await(`resume sip:`, 20*time.Second)
				bare.Skip()
				const second = 50 // packets
				received, unproven := counted(t, p, `received_packets_total`), counted(t, p, `dropped_packets_total\{reason="unproven"\}`)
				peer.Poll(t, 20*time.Second, func() error {
					if n := counted(t, p, `received_packets_total`) - received; n < second {
						return fmt.Errorf("%d packets came after hold", n)
					}
					return nil
				})
				if n := counted(t, p, `dropped_packets_total\{reason="unproven"\}`) - unproven; n > 2 {
					t.Errorf("%d packets after hold were not under the keys", n)
				}
			}
			bare.Type("/hangup")
			select {
			case <-in.Ended:
			case <-time.After(20 * time.Second):
				t.Errorf("the other phone was not told:\n%s", bare.Output())
			}
		})
	}
}

// counted is a counter of the node's media.
func counted(t *testing.T, p *platform, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^parley_media_` + name + ` (\d+)$`).FindStringSubmatch(scrape(t, p, "sip"))
	if m == nil {
		t.Fatalf("/metrics has no parley_media_%s", name)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A softphone of another maker encrypts in the same two ways, and one that would rather agree on keys in the audio itself (ZRTP)
// talks in plain.
func TestLinphoneEncrypts(t *testing.T) {
	t.Parallel()
	p := start(t, "linphone-encrypts", "", "--provision", provision(t, fmt.Sprintf(encryptedTenant, nodeSecret)))
	for _, c := range []struct{ encryption, number string }{{"srtp", "1004"}, {"dtls", "1003"}, {"zrtp", "1004"}} {
		t.Run(c.encryption, func(t *testing.T) {
			account := func(number string, tone int) peer.Account {
				dir := t.TempDir()
				return peer.Account{User: number, Password: nodeSecret, Domain: "demo.local", Transport: "tcp", Server: p.sip("tcp"),
					Plays: sine(t, filepath.Join(dir, "tone.wav"), tone), Heard: dir}
			}
			enc, plain := account(c.number, 500), account("1002", 900)
			enc.Encryption = c.encryption
			lin, bare := peer.Linphone(t, enc), peer.Baresip(t, plain)
			peer.LinphoneRegistered(lin)
			peer.BaresipRegistered(bare)
			bare.Type("/dial sip:" + c.number + "@demo.local")
			lin.Await(`Receiving new incoming call`, 20*time.Second)
			lin.Type("answer")
			bare.Await(`Call established`, 20*time.Second)
			awaitSound(t, enc.Heard)
			awaitSound(t, plain.Heard)
			lin.Type("terminate")
			bare.Await(`session closed|terminated`, 20*time.Second)
			peer.Poll(t, 10*time.Second, func() error { // linphone completes its file after the call
				if hz := loudest(t, enc.Heard); hz != 900 {
					return fmt.Errorf("linphone heard %d Hz, the other played 900", hz)
				}
				return nil
			})
			if hz := loudest(t, plain.Heard); hz != 500 {
				t.Errorf("the plain phone heard %d Hz, linphone played 500", hz)
			}
		})
	}
}

// What comes to the port of an encrypted leg and is not encrypted, or under a key that was not agreed on, is heard by nobody and
// is counted.
func TestForgeriesAreHeardByNobody(t *testing.T) {
	t.Parallel()
	p, _ := basic(t, "forgeries")
	a, b := scripted(t, p, "1001"), scripted(t, p, "1002")
	ours := secure.NewCrypto(1, secure.CM80)
	wire, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	ear := phone.OpenAudio(t)
	out := a.Call("1002", fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/SAVP 0\r\na=crypto:%s\r\n",
		wire.LocalAddr().(*net.UDPAddr).Port, ours.Attribute()))
	in := b.AwaitCall()
	in.Reply(in.Invite, 200, ear.Offer("sendrecv"))
	answer := out.Await(200)
	out.Ack(answer, "")
	in.Request("ACK")
	crypto := regexp.MustCompile(`a=crypto:(.*)`).FindStringSubmatch(answer.Body)
	if crypto == nil {
		t.Fatalf("the answer has no key:\n%s", answer.Raw)
	}
	theirs, err := secure.ParseCrypto(crypto[1])
	if err != nil {
		t.Fatal(err)
	}
	speaker, err1 := secure.NewSDES(ours, theirs)
	stranger, err2 := secure.NewSDES(secure.NewCrypto(1, secure.CM80), theirs)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	rtp, _, err := phone.Ends(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	seq := byte(0)
	say := func(what string, protect func(dst, packet []byte, rtcp bool) ([]byte, error)) {
		t.Helper()
		seq++
		packet := append([]byte{0x80, 0, 0, seq, 0, 0, 0, 0, 0, 0, 0, 7}, what...)
		if protect != nil {
			var err error
			if packet, err = protect(nil, packet, false); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := wire.WriteTo(packet, rtp); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(what string) {
		t.Helper()
		peer.Poll(t, 10*time.Second, func() error {
			for _, g := range ear.Got() {
				if string(g.Payload) == what {
					return nil
				}
			}
			return fmt.Errorf("%q is not among %d packets", what, len(ear.Got()))
		})
	}
	say("first", speaker.Protect)
	heard("first")
	say("plain", nil)
	say("forged", stranger.Protect)
	say("last", speaker.Protect)
	heard("last") // so that what was before it was handled
	if n := len(ear.Got()); n != 2 {
		t.Errorf("%d packets were heard, want 2: %v", n, ear.Got())
	}
	peer.Poll(t, 10*time.Second, func() error {
		if n := counted(t, p, `dropped_packets_total\{reason="unproven"\}`); n != 2 {
			return fmt.Errorf("%d packets are counted as not proven, want 2", n)
		}
		return nil
	})
	hungUp(out, in)
}
