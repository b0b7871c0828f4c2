package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var local = Local{Addr: netip.MustParseAddr("198.51.100.1"), RTP: 20000, RTCP: 20001}

// What real senders write. The bodies are in testdata, one file a sender.
func TestAudioOfRealBodies(t *testing.T) {
	event := func(n uint8, clock uint32, params string) Format {
		return Format{Type: n, Encoding: TelephoneEvent, Clock: clock, Params: params}
	}
	const ms = time.Millisecond
	for name, want := range map[string]Audio{
		"baresip": {Addr: netip.MustParseAddr("192.0.2.10"), Port: 27894, RTCP: netip.MustParseAddrPort("192.0.2.10:27895"), Mux: true, Direction: SendRecv, PTime: 20 * ms,
			Formats: []Format{{Type: 96, Encoding: "opus", Clock: 48000, Channels: 2, Params: "stereo=1;sprop-stereo=1"}, pcma, pcmu, event(101, 8000, "0-15")}},
		"linphone": {Addr: netip.MustParseAddr("192.0.2.11"), Port: 7078, RTCP: netip.MustParseAddrPort("192.0.2.11:7079"), Direction: SendRecv, Reports: true,
			Ufrag: "abcd", Pwd: "abcdefghijklmnopqrstuv",
			Formats: []Format{{Type: 96, Encoding: "opus", Clock: 48000, Channels: 2, Params: "useinbandfec=1"}, {Type: 97, Encoding: "speex", Clock: 16000, Params: "vbr=on"},
				pcmu, pcma, event(101, 48000, ""), event(99, 16000, ""), event(100, 8000, "")}},
		"sipp": {Addr: netip.MustParseAddr("127.0.0.1"), Port: 6000, RTCP: netip.MustParseAddrPort("127.0.0.1:6001"), Direction: SendRecv,
			Formats: []Format{pcmu}},
		"rtpengine": {Addr: netip.MustParseAddr("203.0.113.4"), Port: 30012, RTCP: netip.MustParseAddrPort("203.0.113.4:30013"), Direction: SendRecv, PTime: 20 * ms, MaxPTime: 140 * ms,
			Formats: []Format{pcma, event(101, 8000, "0-16")}},
		"cisco": {Addr: netip.MustParseAddr("192.0.2.20"), Port: 16642, RTCP: netip.MustParseAddrPort("192.0.2.20:16643"), Direction: SendRecv, PTime: 20 * ms,
			Formats: []Format{{Type: 18, Encoding: "G729", Clock: 8000, Params: "annexb=no"}, pcmu, event(101, 8000, "0-16")}},
		"hold_old": {Addr: netip.IPv4Unspecified(), Port: 16642, RTCP: netip.MustParseAddrPort("0.0.0.0:16643"), Direction: SendOnly, Formats: []Format{pcmu}},
		"hold_new": {Addr: netip.MustParseAddr("192.0.2.10"), Port: 4000, RTCP: netip.MustParseAddrPort("192.0.2.10:4001"), Direction: Inactive, Formats: []Format{pcmu}},
		"ipv6":     {Addr: netip.MustParseAddr("2001:db8::10"), Port: 4000, RTCP: netip.MustParseAddrPort("[2001:db8::11]:4444"), Direction: RecvOnly, Formats: []Format{g722}},
		"srtp_first": {Addr: netip.MustParseAddr("192.0.2.30"), Port: 5002, RTCP: netip.MustParseAddrPort("192.0.2.30:5003"), Direction: SendRecv, Profile: SAVP,
			Crypto: []string{"1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"}, Formats: []Format{pcma}},
		"host_name": {Port: 4000, Direction: SendRecv, Formats: []Format{pcmu}},
		"chromium": {Addr: netip.IPv4Unspecified(), Port: 9, RTCP: netip.MustParseAddrPort("0.0.0.0:9"), Mux: true, Direction: SendRecv, Profile: WebRTC,
			Fingerprints: []string{"sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3D:F0:40:56:F4:46:57:AB:01:5B:FE:4C"},
			Setup:        "actpass", Ufrag: "Zu8b", Pwd: "0qSDKbZkyiRlZZPnmYTWOl3o", bundled: true,
			Formats: []Format{{Type: 111, Encoding: "opus", Clock: 48000, Channels: 2, Params: "minptime=10;useinbandfec=1"},
				{Type: 63, Encoding: "red", Clock: 48000, Channels: 2, Params: "111/111"}, g722, pcmu, pcma, {Type: 13, Encoding: "CN", Clock: 8000},
				event(110, 48000, ""), event(126, 8000, "")}},
	} {
		s, err := Parse(file(t, name+".sdp"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, ok := s.Audio(); !ok || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

var (
	pcmu = Format{Type: 0, Encoding: "PCMU", Clock: 8000}
	pcma = Format{Type: 8, Encoding: "PCMA", Clock: 8000}
	g722 = Format{Type: 9, Encoding: "G722", Clock: 8000}
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

func lines(b []byte) []string {
	return strings.Split(strings.TrimSuffix(string(b), "\r\n"), "\r\n")
}

// difference is a without the lines of b, sorted, each as often as it is there more often.
func difference(a, b []string) []string {
	left := slices.Clone(b)
	var out []string
	for _, l := range a {
		if i := slices.Index(left, l); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// A body that says the same again has the same sum, whatever its origin; any other has another.
func TestSum(t *testing.T) {
	const body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=sendrecv\r\n"
	sum := func(body string) uint64 { return mustParse(t, body).Sum() }
	if sum(body) != sum(strings.Replace(body, "o=- 1 1", "o=- 1 2", 1)) {
		t.Error("another version changes the sum")
	}
	for _, change := range [][2]string{{"4000", "4002"}, {"0 8", "8 0"}, {"sendrecv", "sendonly"}, {"c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2"}, {"a=sendrecv\r\n", ""}} {
		if sum(body) == sum(strings.Replace(body, change[0], change[1], 1)) {
			t.Errorf("%q instead of %q does not change the sum", change[1], change[0])
		}
	}
}

// Media that goes directly is left alone; only the origin is ours.
func TestForwardForDirectMedia(t *testing.T) {
	before := file(t, "linphone.sdp")
	s, err := Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	after := NewAuthor(9).Forward(s)
	if gone, added := difference(lines(before), lines(after)), difference(lines(after), lines(before)); len(gone) != 1 || len(added) != 1 ||
		added[0] != "o=- 9 9 IN IP4 192.0.2.11" {
		t.Errorf("gone %q, new %q", gone, added)
	}
}

func TestBodiesWithoutAudio(t *testing.T) {
	for name, media := range map[string]string{
		"none":         "",
		"refused":      "m=audio 0 RTP/AVP 0\r\n",
		"video only":   "m=video 4000 RTP/AVP 96\r\n",
		"not over RTP": "m=audio 4000 TCP/MRCPv2 1\r\n",
	} {
		s := mustParse(t, "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"+media)
		if a, ok := s.Audio(); ok {
			t.Errorf("%s: Audio = %+v", name, a)
		}
	}
}

func TestBadBodies(t *testing.T) {
	const head = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
	const conn = "c=IN IP4 192.0.2.1\r\n"
	for name, body := range map[string]string{
		"empty":                  "",
		"no version":             "o=a 1 1 IN IP4 192.0.2.1\r\n",
		"no origin":              "v=0\r\ns=-\r\n",
		"two origins":            head + "o=b 1 1 IN IP4 192.0.2.1\r\n",
		"no letter":              head + "nonsense\r\n",
		"an empty line":          head + "\r\na=b\r\n",
		"a control character":    head + "a=b\x00c\r\n",
		"a lone carriage return": head + "a=b\rc\r\n",
		"no connection":          head + "m=audio 4000 RTP/AVP 0\r\n",
		"a bad connection":       head + "c=IN IP4\r\nm=audio 4000 RTP/AVP 0\r\n",
		"IPv6 as IPv4":           head + "c=IN IP4 2001:db8::1\r\nm=audio 4000 RTP/AVP 0\r\n",
		"a zone":                 head + "c=IN IP6 fe80::1%eth0\r\nm=audio 4000 RTP/AVP 0\r\n",
		"a port too high":        head + conn + "m=audio 65536 RTP/AVP 0\r\n",
		"a negative port":        head + conn + "m=audio -1 RTP/AVP 0\r\n",
		"several ports":          head + conn + "m=audio 4000/2 RTP/AVP 0\r\n",
		"no protocol":            head + conn + "m=audio 4000\r\n",
		"a bad format":           head + conn + "m=audio 4000 RTP/AVP pcmu\r\n",
		"a format too high":      head + conn + "m=audio 4000 RTP/AVP 128\r\n",
		"a bad rtpmap":           head + conn + "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\n",
		"a clock of 0":           head + conn + "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/0\r\n",
		"a bad rtcp":             head + conn + "m=audio 4000 RTP/AVP 0\r\na=rtcp:here\r\n",
		"too many lines":         head + strings.Repeat("a=b\r\n", MaxLines),
		"too many formats":       head + conn + "m=audio 4000 RTP/AVP" + strings.Repeat(" 0", MaxFormats+1) + "\r\n",
		"too many media":         head + conn + strings.Repeat("m=video 0 RTP/AVP 0\r\n", MaxMedia+1),
		"too long":               head + "a=" + strings.Repeat("x", MaxSize) + "\r\n",
	} {
		if s, err := Parse([]byte(body)); !errors.Is(err, ErrSyntax) || s != nil {
			t.Errorf("%s: Parse = %v, %v, want ErrSyntax", name, s, err)
		}
	}
}

func TestDirections(t *testing.T) {
	for d, want := range map[Direction][3]bool{
		SendRecv: {true, true, false}, SendOnly: {true, false, true}, RecvOnly: {false, true, false}, Inactive: {false, false, true},
	} {
		if got := [3]bool{d.Sends(), d.Receives(), d.Held()}; got != want {
			t.Errorf("%v: sends, receives, held = %v, want %v", d, got, want)
		}
		if again, ok := direction(d.String()); !ok || again != d {
			t.Errorf("%v reads back as %v", d, again)
		}
	}
}

func mustParse(t testing.TB, body string) *Session {
	t.Helper()
	s, err := Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
