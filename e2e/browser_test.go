package e2e

import (
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/voice"
)

// origins lets pages of a test's own web server open a WebSocket to the node, as a setting does for those of an intranet.
const origins = "sipproxy: {origins: [\"127.0.0.1:*\"]}\n"

// webPhone is a real Chromium with the page in testdata/browser: SIP over WSS, WebRTC audio.
type webPhone struct{ *window }

// openWebPhone starts a browser whose page registers as a number and says a tone of that many Hz in its calls. algorithm
// is the one that it answers challenges with; hides says that it does not tell its addresses.
func openWebPhone(t *testing.T, p *platform, number, algorithm string, tone int, hides bool) *webPhone {
	t.Helper()
	pages := httptest.NewServer(http.FileServer(http.Dir("testdata/browser")))
	t.Cleanup(pages.Close)
	ctx := chromium(t,
		chromedp.Flag("ignore-certificate-errors", true),                // that of the first start is signed by nobody
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),    // nobody clicks
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"), // there is no multicast DNS in a test
		chromedp.Flag("allow-loopback-in-peer-connection", true))        // and perhaps no network but loopback
	w := &webPhone{&window{t, ctx, pages.URL}}
	w.open("/")
	w.sees("#state", "loaded")
	account, err := json.Marshal(map[string]any{"url": "wss://" + p.sip("wss"), "user": number, "password": p.printedPassword(number),
		"domain": "demo.local", "algorithm": algorithm, "tone": tone, "hides": hides})
	if err != nil {
		t.Fatal(err)
	}
	w.run("phone.start(" + string(account) + ")")
	w.becomes("registered")
	return w
}

// run begins something in the page and does not wait for its end.
func (w *webPhone) run(js string) { w.t.Helper(); eval[bool](w.window, "("+js+", true)") }

// becomes waits for a state of the phone.
func (w *webPhone) becomes(state string) {
	w.t.Helper()
	peer.Poll(w.t, 30*time.Second, func() error {
		got := eval[string](w.window, "phone.state")
		if strings.HasPrefix(got, "failed") {
			w.t.Fatalf("the browser's phone %s\n%s", got, w.text("#log"))
		}
		if got != state {
			return fmt.Errorf("the browser's phone is %s, want %s\n%s", got, state, w.text("#log"))
		}
		return nil
	})
}

// sound is the strongest frequency that an ear hears, and how strong it is in dB.
type sound struct {
	HZ    int     `json:"hz"`
	Level float64 `json:"level"`
}

func (w *webPhone) ear() sound { w.t.Helper(); return eval[sound](w.window, "phone.hears()") }

// hears waits until the browser hears a tone, in what its own ear makes of the call's audio.
func (w *webPhone) hears(hz int) {
	w.t.Helper()
	const near, loud = 10, -60 // Hz, dB
	peer.Poll(w.t, 30*time.Second, func() error {
		got := w.ear()
		if got.HZ < hz-near || got.HZ > hz+near || got.Level < loud {
			return fmt.Errorf("the browser hears %d Hz at %.0f dB, want %d\n%s", got.HZ, got.Level, hz, w.text("#log"))
		}
		return nil
	})
}

// figures are what the browser itself says about the call's media.
type figures struct {
	Received, Lost, Sent int
	Cipher, DTLS, Role   string
	Codec                string
	Reported             bool // the node told in RTCP what it heard
}

func (w *webPhone) figures() (f figures) {
	w.t.Helper()
	w.run("phone.figures().then((f) => (phone.counted = f))")
	peer.Poll(w.t, 10*time.Second, func() error {
		if !eval[bool](w.window, "phone.counted !== undefined") {
			return fmt.Errorf("no figures yet")
		}
		return nil
	})
	f = eval[figures](w.window, "phone.counted")
	eval[bool](w.window, "(phone.counted = undefined, true)")
	return f
}

// A browser and a desk phone call each other, and each hears what the other says: SIP over WSS, keys from DTLS, a path from
// ICE on the one side, plain RTP on the other.
func TestBrowserAndPhoneTalk(t *testing.T) {
	t.Parallel()
	p := start(t, "browser", origins)
	for _, c := range []struct {
		name, algorithm     string
		browserCalls, hides bool
	}{{"browser calls phone", "SHA-256", true, false}, {"phone calls browser", "MD5", false, false},
		{"hidden browser calls phone", "SHA-256", true, true}, {"phone calls hidden browser", "SHA-256", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			heard := t.TempDir()
			bare := peer.Baresip(t, peer.Account{User: "1002", Password: p.printedPassword("1002"), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
				Plays: sine(t, filepath.Join(heard, "tone.wav"), 500), Heard: heard, Answer: true})
			peer.BaresipRegistered(bare)
			browser := openWebPhone(t, p, "1001", c.algorithm, 900, c.hides)
			if c.browserCalls {
				browser.run(`phone.call("1002")`)
			} else {
				bare.Type("/dial sip:1001@demo.local")
			}
			bare.Await(`Call established`, 20*time.Second)
			browser.becomes("talking")
			browser.hears(500)
			awaitSound(t, heard)
			if f := browser.figures(); f.Cipher != "SRTP_AEAD_AES_128_GCM" && f.Cipher != "AES_CM_128_HMAC_SHA1_80" || f.DTLS != "connected" || f.Role != "controlling" {
				t.Errorf("the browser says of the call's media: %+v", f)
			}
			if c.browserCalls {
				browser.run("phone.hangUp()")
			} else {
				bare.Type("/hangup")
			}
			browser.becomes("over")
			bare.Await(`session closed|terminated`, 20*time.Second)
			if hz := loudest(t, heard); hz != 900 {
				t.Errorf("the phone heard %d Hz, the browser said 900", hz)
			}
		})
	}
	t.Run("browser calls browser", func(t *testing.T) {
		a, b := openWebPhone(t, p, "1001", "SHA-256", 900, false), openWebPhone(t, p, "1003", "SHA-256", 500, true)
		a.run(`phone.call("1003")`)
		a.becomes("talking")
		b.becomes("talking")
		a.hears(500)
		b.hears(900)
		if f := a.figures(); f.Codec != "audio/opus" || f.Received == 0 {
			t.Errorf("the browser says of the call's media: %+v, want Opus, which both have, passed on as it is", f)
		}
		b.run("phone.hangUp()")
		a.becomes("over")
	})
	awaitRecords(t, p, map[voice.Outcome]int{voice.OutcomeAnswered: 5})
}

// A browser that a desk phone puts on hold hears music and then the phone again, over the association that stands; strangers who
// flood its leg with checks, handshakes and audio are not answered and disturb nothing.
func TestBrowserIsHeldAndFlooded(t *testing.T) {
	t.Parallel()
	p := start(t, "browser-held", origins)
	heard := t.TempDir()
	bare := peer.Baresip(t, peer.Account{User: "1002", Password: p.printedPassword("1002"), Domain: "demo.local", Transport: "udp", Server: p.sip("udp"),
		Plays: sine(t, filepath.Join(heard, "tone.wav"), 500), Heard: heard})
	peer.BaresipRegistered(bare)
	browser := openWebPhone(t, p, "1001", "SHA-256", 900, true)
	bare.Type("/dial sip:1001@demo.local")
	bare.Await(`Call established`, 20*time.Second)
	browser.becomes("talking")
	browser.hears(500)

	leg, _, err := phone.Ends(eval[string](browser.window, "phone.offer"))
	if err != nil {
		t.Fatal(err)
	}
	if metrics := scrape(t, p, "sip"); !strings.Contains(metrics, `parley_sip_handshakes_total{outcome="keys"} 1`) || strings.Contains(metrics, `parley_sip_handshakes_total{outcome="failed"}`) {
		t.Error("/metrics does not tell of one handshake and no more")
	}
	answers := flood(t, leg)
	browser.hears(500)
	if n := answers(); n > 0 {
		t.Errorf("strangers were answered %d times", n)
	}

	bare.Type("/hold")
	peer.Poll(t, 20*time.Second, func() error {
		if got := browser.ear(); got.HZ > 480 && got.HZ < 520 || got.Level < -60 {
			return fmt.Errorf("on hold the browser hears %+v, want music", got)
		}
		return nil
	})
	bare.Type("/resume")
	browser.hears(500)
	if f := browser.figures(); f.DTLS != "connected" {
		t.Errorf("after hold the browser says: %+v", f)
	}
	bare.Type("/hangup")
	browser.becomes("over")
	if hz := loudest(t, heard); hz != 900 {
		t.Errorf("the phone heard %d Hz, the browser said 900", hz)
	}
}

// flood sends to a port what a stranger could: checks of ICE, first messages of DTLS, RTP, RTCP, from several addresses. It returns a
// function that tells how many answers came.
func flood(t *testing.T, to *net.UDPAddr) func() int {
	t.Helper()
	check := []byte{0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x80, 0x28, 0, 4, 0, 0, 0, 0}
	bits.BigEndian.PutUint32(check[24:], crc32.ChecksumIEEE(check[:20])^0x5354554E)
	hello := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 40)...)
	rtp := append([]byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}, make([]byte, 160)...)
	rtcp := append([]byte{0x80, 200, 0, 6}, make([]byte, 24)...)
	var conns []*net.UDPConn
	for range 8 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	for i := range 8000 {
		if _, err := conns[i%len(conns)].WriteTo([][]byte{check, hello, rtp, rtcp}[i/2%4], to); err != nil {
			t.Fatal(err)
		}
	}
	return func() (n int) {
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond)) // what is there is there: the browser was heard since
			for b := make([]byte, 2048); ; n++ {
				if _, err := c.Read(b); err != nil {
					break
				}
			}
		}
		return n
	}
}
