package e2e

import (
	bits "encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
)

// differing starts a node with the numbers from 1001 on, whose options are given as YAML.
func differing(t *testing.T, id string, options ...string) *platform {
	t.Helper()
	return start(t, id, "", "--provision", provision(t, kindsOf(options...)))
}

func kindsOf(options ...string) string {
	var dns strings.Builder
	for i, o := range options {
		fmt.Fprintf(&dns, "      - {number: \"%d\", type: extension, password: %s, options: {TServer: {%s}}}\n", 1001+i, nodeSecret, o)
	}
	return "tenants:\n  - name: demo\n    domains: [demo.local]\n    default: true\n    dns:\n" + dns.String()
}

// Real softphones that have no codec in common, or may encrypt if the other can, hear each other.
func TestPhonesOfDifferentKindsTalk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options        string // of the callee
		caller, callee peer.Account
	}{
		"A-law alone calls G.722 alone": {"", peer.Account{Codecs: "PCMA/8000"}, peer.Account{Codecs: "G722/16000"}},
		"both may encrypt":              {"srtp: optional", peer.Account{Encryption: "srtp"}, peer.Account{Encryption: "srtp"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := differing(t, "kinds", "", c.options)
			a, b := c.caller, c.callee
			tones := map[*peer.Account]int{&a: 500, &b: 900}
			for account, hz := range tones {
				dir := t.TempDir()
				account.Password, account.Domain, account.Transport, account.Server = nodeSecret, "demo.local", "tcp", p.sip("tcp")
				account.Plays, account.Heard = toneAt(t, filepath.Join(dir, "tone.wav"), hz, 10, rateOf(account)), dir
			}
			a.User, b.User, b.Answer = "1001", "1002", true
			one, other := peer.Baresip(t, a), peer.Baresip(t, b)
			peer.BaresipRegistered(one)
			peer.BaresipRegistered(other)
			one.Type("/dial sip:1002@demo.local")
			other.Await(`Call established`, 15*time.Second)
			one.Await(`Call established`, 15*time.Second)
			awaitSound(t, a.Heard)
			awaitSound(t, b.Heard)
			one.Type("/hangup")
			other.Await(`session closed|terminated`, 15*time.Second)
			for account, want := range map[*peer.Account]int{&a: 900, &b: 500} {
				if hz := loudest(t, account.Heard); hz != want {
					t.Errorf("%s heard %d Hz, %d was played\n%s", account.User, hz, want, one.Output())
				}
			}
		})
	}
}

// rateOf is the sample rate of the file that baresip plays in the codec of an account.
func rateOf(a *peer.Account) int {
	if strings.HasPrefix(a.Codecs, "G722") {
		return audio.Wide
	}
	return rate
}

// Whoever is put on hold by a real phone hears the music on hold, as it is in the library.
func TestHeldPhoneHearsMusic(t *testing.T) {
	t.Parallel()
	p := differing(t, "music", "", "")
	account := func(number string) peer.Account {
		dir := t.TempDir()
		return peer.Account{User: number, Password: nodeSecret, Domain: "demo.local", Transport: "tcp", Server: p.sip("tcp"),
			Plays: sine(t, filepath.Join(dir, "tone.wav"), 500), Heard: dir}
	}
	a, b := account("1001"), account("1002")
	b.Answer = true
	one, other := peer.Baresip(t, a), peer.Linphone(t, b) // of these two linphone records what it hears on hold
	peer.BaresipRegistered(one)
	peer.LinphoneRegistered(other)
	one.Type("/dial sip:1002@demo.local")
	one.Await(`Call established`, 15*time.Second)
	awaitSound(t, b.Heard)
	before := len(heard(t, b.Heard))
	one.Type("/hold")
	const enough = 8 * audio.Narrow                   // of what is heard from then on
	music := onHold(t)[audio.Narrow : 3*audio.Narrow] // its second and third second
	var best float64
	peer.Poll(t, 30*time.Second, func() error {
		since := heard(t, b.Heard)[before:]
		if len(since) < enough {
			return fmt.Errorf("the held phone has heard %.1f s so far", float64(len(since))/audio.Narrow)
		}
		if best = max(best, likenessOfParts(since[:enough], music)); best < 0.95 {
			return fmt.Errorf("what the held phone heard correlates with the music on hold by %.3f", best)
		}
		return nil
	})
	one.Type("/resume")
	one.Type("/hangup")
	other.Await(`ended|terminated|released`, 15*time.Second)
}

// onHold is the beginning of the music.
func onHold(t *testing.T) []int16 {
	t.Helper()
	library, err := prompt.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	clip, err := library.Clip("demo", prompt.DefaultLanguage, prompt.OnHold)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 5*audio.Narrow)
	if _, err := play.New(clip).Read(pcm); err != nil {
		t.Fatal(err)
	}
	return pcm
}

// heard is a recording so far.
func heard(t *testing.T, dir string) []int16 {
	t.Helper()
	b, err := os.ReadFile(peer.Heard(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < wavHeader {
		return nil
	}
	pcm := make([]int16, (len(b)-wavHeader)/2) // sndfile writes the length into the header at the end
	for i := range pcm {
		pcm[i] = int16(bits.LittleEndian.Uint16(b[wavHeader+2*i:]))
	}
	return pcm
}

// likeness is the best normalized correlation of part with any place of whole.
func likeness(whole, part []int16) float64 {
	const coarse = 400 // samples that are compared before all are
	best := 0.0
	for at := 0; at+len(part) <= len(whole); at++ {
		if resemblance(whole[at:at+coarse], part[:coarse]) > 0.8 {
			best = max(best, resemblance(whole[at:at+len(part)], part))
		}
	}
	return best
}

// resemblance is the normalized correlation of two sounds of one length.
func resemblance(a, b []int16) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb+1)
}

// Phones that are reached by IPv6 alone talk to each other, and to one that knows IPv4 only: each leg has its own addresses.
func TestCallsOverIPv6(t *testing.T) {
	t.Parallel()
	p := prepare(t, "six", "media: {bind: \"::\"}\n", "--provision", provision(t, kindsOf("", "", "")))
	config := filepath.Join(p.dir, "parley.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, strings.Replace(string(text), "tcp://127.0.0.1:0", "tcp://[::1]:0", 1))
	p.run()
	phones := map[string]*peer.Process{}
	accounts := map[string]*peer.Account{}
	for number, transport := range map[string]string{"1001": "tcp", "1002": "tcp", "1003": "udp"} {
		dir := t.TempDir()
		a := peer.Account{User: number, Password: nodeSecret, Domain: "demo.local", Transport: transport, Server: p.sip(transport), IPv6: transport == "tcp",
			Plays: sine(t, filepath.Join(dir, "tone.wav"), map[string]int{"1001": 500, "1002": 700, "1003": 900}[number]), Heard: dir, Answer: number != "1001"}
		accounts[number], phones[number] = &a, peer.Baresip(t, a)
		peer.BaresipRegistered(phones[number])
	}
	one := phones["1001"]
	for _, to := range []string{"1002", "1003"} {
		clear := peer.Heard(accounts["1001"].Heard)
		if clear != "" {
			if err := os.Remove(clear); err != nil {
				t.Fatal(err)
			}
		}
		one.Skip()
		one.Type("/dial sip:" + to + "@demo.local")
		one.Await(`Call established`, 15*time.Second)
		awaitSound(t, accounts["1001"].Heard)
		awaitSound(t, accounts[to].Heard)
		one.Type("/hangup")
		phones[to].Await(`session closed|terminated`, 15*time.Second)
		if hz, want := loudest(t, accounts["1001"].Heard), map[string]int{"1002": 700, "1003": 900}[to]; hz != want {
			t.Errorf("the caller heard %d Hz, %s played %d", hz, to, want)
		}
		if hz := loudest(t, accounts[to].Heard); hz != 500 {
			t.Errorf("%s heard %d Hz, the caller played 500", to, hz)
		}
	}
}
