package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/porttest"
)

// patient is a registrar that bans nobody, for tests that look at answers to many wrong requests.
const patient = "registrar: {bans: {failures: 0}}\n"

// sipvicious, the scanner most exposed servers meet, finds no extension, whatever method it tries.
func TestScannerFindsNoExtension(t *testing.T) {
	t.Parallel() // svwar takes its time, above all with INVITE
	p := start(t, "scanned", patient)
	host, port, _ := net.SplitHostPort(p.sip("udp"))
	for _, method := range []string{"REGISTER", "OPTIONS", "INVITE"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			// Each scan with a port of its own: two that look for one at the same time may take the same, and each other's answers.
			_, local, _ := net.SplitHostPort(porttest.TCP(t, 1)[0])
			scan := peer.Start(t, t.TempDir(), nil, "svwar", "-D", "-e", "999-1002", "-m", method, "-P", local, "-p", port, "--force", host)
			scan.Wait(2 * time.Minute)
			out := scan.Output()
			// svwar lists what answered otherwise than the rest. All alike, whether all or none, tells it nothing.
			known := strings.Count(out, "| 1001 ") + strings.Count(out, "| 1002 ")
			unknown := strings.Count(out, "| 999 ") + strings.Count(out, "| 1000 ")
			if known != unknown {
				t.Errorf("svwar tells extensions from other numbers:\n%s", out)
			}
		})
	}
	// The tool may be wrong in our favour: the answers themselves are the same but for what is random in them.
	for _, method := range []string{"REGISTER", "OPTIONS", "INVITE"} {
		known, unknown := stranger(t, p, method, "1001"), stranger(t, p, method, "4711")
		if known != unknown {
			t.Errorf("%s to a known and an unknown number:\n%s\n---\n%s", method, known, unknown)
		}
	}
}

// stranger sends one request without credentials and returns the answer with its random parts blotted out.
func stranger(t *testing.T, p *platform, method, number string) string {
	t.Helper()
	l, id := dial(t, p, "udp"), rand.Text()
	fmt.Fprintf(writer{l}, "%[1]s sip:%[2]s@demo.local SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK%[3]s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[2]s@demo.local>;tag=same\r\nTo: <sip:%[2]s@demo.local>\r\nCall-ID: %[3]s\r\nCSeq: 1 %[1]s\r\n"+
		"Contact: <sip:x@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n", method, number, id)
	for {
		raw, err := l.Read(time.Now().Add(5 * time.Second))
		if err != nil {
			t.Fatalf("%s to %s: %v", method, number, err)
		}
		if bytes.HasPrefix(raw, []byte("SIP/2.0 1")) {
			continue
		}
		s := regexp.MustCompile(`rport=\d+|tag=[^\r;]+|nonce="[^"]+"|opaque="[^"]+"|Date:[^\r]+|Retry-After: \d+`).ReplaceAllString(string(raw), "*")
		return strings.NewReplacer(number, "NUMBER", id, "ID").Replace(s)
	}
}

type writer struct{ l phone.Line }

func (w writer) Write(b []byte) (int, error) { return len(b), w.l.Write(b) }

// A source that guesses passwords is silenced on every transport, seen in REST, and lifted there.
func TestBanLifeCycle(t *testing.T) {
	p := start(t, "banned", "registrar: {bans: {failures: 5}}\n")
	secret := p.printedPassword("1001")
	guess := func(password string) (*phone.Response, error) {
		ph := phone.Phone{Line: dial(t, p, "udp"), User: "1001", Password: password, Domain: "demo.local", Timeout: 500 * time.Millisecond}
		return ph.Register(300)
	}
	silent := false
	for range 20 {
		if _, err := guess("wrong"); err != nil {
			silent = true
			break
		}
	}
	if !silent {
		t.Fatal("20 wrong passwords and still an answer")
	}
	bans := rest(t, p, "registrar", http.MethodGet, "/api/v1/bans", http.StatusOK)
	if !strings.Contains(bans, "127.0.0.1") {
		t.Fatalf("the ban is not listed: %s", bans)
	}
	rest(t, p, "registrar", http.MethodDelete, "/api/v1/bans/127.0.0.1", http.StatusNoContent)
	peer.Poll(t, 5*time.Second, func() error {
		res, err := guess(secret)
		if err == nil && res.Status != 200 {
			err = fmt.Errorf("%d %s", res.Status, res.Reason)
		}
		return err
	})
}

// Garbage on every transport: never a crash, and phones are served meanwhile.
func TestGarbage(t *testing.T) {
	p := start(t, "garbage", patient)
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	for _, transport := range []string{"udp", "tcp", "tls", "ws"} {
		for range 200 {
			l, err := phone.Dial(t.Context(), transport, p.sip(transport), p.trust())
			if err != nil {
				t.Fatalf("%s no longer accepts: %v", transport, err)
			}
			junk := make([]byte, 1+rng.IntN(4000))
			for i := range junk {
				junk[i] = byte(rng.Uint32())
			}
			if rng.IntN(2) == 0 {
				junk = append([]byte("REGISTER sip:demo.local SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n"), junk...)
			}
			_ = l.Write(junk) // the other side may have hung up already
			l.Close()
		}
	}
	ph := phone.Phone{Line: dial(t, p, "udp"), User: "1001", Password: p.printedPassword("1001"), Domain: "demo.local"}
	if res, err := ph.Register(300); err != nil || res.Status != 200 {
		t.Errorf("REGISTER after the garbage: %+v %v", res, err)
	}
}

// promtool finds nothing to complain about on the front page of each service but names that the catalogue gives.
func TestMetricsAreScrapable(t *testing.T) {
	p := start(t, "scraped", "")
	for _, s := range p.status.Services {
		for _, a := range s.Address {
			if !strings.HasPrefix(a, "http://") {
				continue
			}
			res, err := http.Get(strings.TrimSuffix(a, "/") + "/metrics")
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
				continue
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			cmd := exec.Command("promtool", "check", "metrics")
			cmd.Stdin = bytes.NewReader(body)
			out, _ := cmd.CombinedOutput()
			if bytes.Contains(out, []byte("error while linting")) || len(body) == 0 {
				t.Errorf("%s: %d bytes of metrics, promtool: %s", s.Name, len(body), out)
			}
		}
	}
}

// rest calls a service's REST interface as the administrator and returns the body.
func rest(t testing.TB, p *platform, service, method, path string, want int) string {
	t.Helper()
	token, code := p.cli("token", "--user", "admin")
	if code != 0 {
		t.Fatalf("token: %s", token)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.address(service, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Fields(token)[0])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != want {
		t.Fatalf("%s %s: %s, want %d: %s", method, path, res.Status, want, body)
	}
	if res.StatusCode >= 400 && !json.Valid(body) {
		t.Errorf("%s %s: not a problem document: %s", method, path, body)
	}
	return string(body)
}
