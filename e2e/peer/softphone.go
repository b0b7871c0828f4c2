package peer

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Account is what a softphone needs to register.
type Account struct {
	User, Password, Domain string
	Transport              string // udp, tcp or tls
	Server                 string // host:port of the platform on that transport
	CA                     string // PEM file to trust for tls; "" where the peer cannot check

	Plays  string // WAV file (8,000 samples a second) the phone plays in calls; "" = nothing
	Heard  string // folder the phone writes what it hears to, see [Heard]; "" = nowhere
	Answer bool   // the phone answers calls by itself

	Codecs     string // of baresip, as in PCMA/8000; "" = G.711
	IPv6       bool   // baresip is reached at ::1
	Encryption string // of baresip's audio: srtp, srtp-mand or dtls_srtp; of linphone's: srtp, dtls or zrtp; "" = none
}

// Baresip starts a baresip with one account and returns when it runs; see [Registered].
func Baresip(t testing.TB, a Account) *Process {
	t.Helper()
	dir := t.TempDir()
	audio := ""
	if a.Plays != "" {
		audio += "module aufile.so\naudio_source aufile," + a.Plays + "\n"
	}
	if a.Heard != "" {
		audio += "module sndfile.so\nsnd_path " + a.Heard + "\n"
	}
	mode := ""
	if a.Answer {
		mode = ";answermode=auto"
	}
	if a.Encryption != "" {
		module, _, _ := strings.Cut(a.Encryption, "-")
		audio += "module " + module + ".so\n"
		mode += ";mediaenc=" + a.Encryption
	}
	if a.Codecs != "" {
		audio += "module g722.so\n"
		mode += ";audio_codecs=" + a.Codecs
	}
	listen := "127.0.0.1:0"
	if a.IPv6 {
		listen = "[::1]:0\nnet_af ipv6"
	}
	write(t, filepath.Join(dir, "config"), `module_path /usr/lib/baresip/modules
rtp_stats yes
module stdio.so
module g711.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
sip_listen `+listen+`
sip_cafile `+a.CA+`
`+audio)
	write(t, filepath.Join(dir, "accounts"), fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=60%s\n",
		a.User, a.Domain, a.Transport, a.Password, a.Server, a.Transport, mode))
	return Start(t, dir, []string{"HOME=" + dir}, "baresip", "-f", dir)
}

// BaresipRegistered waits until the registrar has said 200.
func BaresipRegistered(p *Process) {
	p.t.Helper()
	p.Await(`\b200 OK\b.*\[\d+ binding`, 15*time.Second)
}

// Linphone starts a linphonec with one account; call [LinphoneRegistered] next.
func Linphone(t testing.TB, a Account) *Process {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".local/share/linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(dir, "linphonerc")
	write(t, rc, fmt.Sprintf(`[sip]
sip_port=%d
sip_tcp_port=%d
sip_tls_port=%d
default_proxy=0
media_encryption=%s
guess_hostname=0
bind_address=127.0.0.1
root_ca=%s
verify_server_certs=1
verify_server_cn=0

[rtp]
audio_rtp_port=%d

[proxy_0]
reg_proxy=<sip:%s;transport=%s>
reg_route=<sip:%s;transport=%s;lr>
reg_identity=sip:%s@%s
reg_expires=60
reg_sendregister=1
publish=0

[auth_info_0]
username=%s
passwd=%s
realm=%s
`, freePort(t, "udp"), freePort(t, "tcp"), freePort(t, "tcp"), cmp.Or(a.Encryption, "none"), a.CA, freePort(t, "udp"), a.Server, a.Transport, a.Server, a.Transport, a.User, a.Domain, a.User, a.Password, a.Domain))
	p := Start(t, dir, []string{"HOME=" + dir}, "linphonec", "-c", rc, "-S")
	if a.Answer {
		p.Type("autoanswer enable")
	}
	if a.Plays != "" || a.Heard != "" {
		p.Type("soundcard use files")
		p.Type("play " + a.Plays)
		p.Type("record " + filepath.Join(a.Heard, "linphone.wav"))
	}
	return p
}

// Heard is the recording in a folder of an account; "" as long as there is none.
func Heard(dir string) string {
	for _, pattern := range []string{"dump-*-dec.wav", "linphone.wav"} {
		if files, err := filepath.Glob(filepath.Join(dir, pattern)); err == nil && len(files) > 0 {
			return files[0]
		}
	}
	return ""
}

// LinphoneRegistered asks linphonec, which does not tell by itself, until it says that it is registered.
func LinphoneRegistered(p *Process) {
	p.t.Helper()
	for range 50 {
		p.Type("status register")
		if m, _ := p.Saw(`registered, identity=`, 300*time.Millisecond); m != nil {
			return
		}
	}
	p.t.Fatalf("linphonec did not register:\n%s", p.Output())
}

func freePort(t testing.TB, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
