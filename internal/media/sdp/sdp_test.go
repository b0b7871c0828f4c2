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
)

var ours = Local{Addr: netip.MustParseAddr("198.51.100.1"), RTP: 20000, RTCP: 20001}

// What real senders write. The bodies are in testdata, one file a sender.
func TestAudioOfRealBodies(t *testing.T) {
	pcm := []Format{{0, "PCMU", 8000}, {8, "PCMA", 8000}}
	for name, want := range map[string]Audio{
		"baresip": {Addr: netip.MustParseAddr("192.0.2.10"), Port: 27894, RTCP: netip.MustParseAddrPort("192.0.2.10:27895"), Mux: true, Direction: SendRecv,
			Formats: []Format{{96, "opus", 48000}, {8, "PCMA", 8000}, {0, "PCMU", 8000}, {101, "telephone-event", 8000}}},
		"linphone": {Addr: netip.MustParseAddr("192.0.2.11"), Port: 7078, RTCP: netip.MustParseAddrPort("192.0.2.11:7079"), Direction: SendRecv,
			Formats: append([]Format{{96, "opus", 48000}, {97, "speex", 16000}}, append(pcm, Format{101, "telephone-event", 48000}, Format{99, "telephone-event", 16000}, Format{100, "telephone-event", 8000})...)},
		"sipp": {Addr: netip.MustParseAddr("127.0.0.1"), Port: 6000, RTCP: netip.MustParseAddrPort("127.0.0.1:6001"), Direction: SendRecv,
			Formats: pcm[:1]},
		"rtpengine": {Addr: netip.MustParseAddr("203.0.113.4"), Port: 30012, RTCP: netip.MustParseAddrPort("203.0.113.4:30013"), Direction: SendRecv,
			Formats: []Format{{8, "PCMA", 8000}, {101, "telephone-event", 8000}}},
		"cisco": {Addr: netip.MustParseAddr("192.0.2.20"), Port: 16642, RTCP: netip.MustParseAddrPort("192.0.2.20:16643"), Direction: SendRecv,
			Formats: []Format{{18, "G729", 8000}, {0, "PCMU", 8000}, {101, "telephone-event", 8000}}},
		"hold_old": {Addr: netip.IPv4Unspecified(), Port: 16642, RTCP: netip.MustParseAddrPort("0.0.0.0:16643"), Direction: SendOnly, Formats: []Format{{0, "", 8000}}},
		"hold_new": {Addr: netip.MustParseAddr("192.0.2.10"), Port: 4000, RTCP: netip.MustParseAddrPort("192.0.2.10:4001"), Direction: Inactive, Formats: []Format{{0, "", 8000}}},
		"ipv6":     {Addr: netip.MustParseAddr("2001:db8::10"), Port: 4000, RTCP: netip.MustParseAddrPort("[2001:db8::11]:4444"), Direction: RecvOnly, Formats: []Format{{9, "G722", 8000}}},
		"srtp_first": {Addr: netip.MustParseAddr("192.0.2.30"), Port: 5002, RTCP: netip.MustParseAddrPort("192.0.2.30:5003"), Direction: SendRecv, Encrypted: true,
			Formats: []Format{{8, "PCMA", 8000}}},
		"host_name": {Port: 4000, Direction: SendRecv, Formats: []Format{{0, "", 8000}}},
	} {
		s, err := Parse(file(t, name+".sdp"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, ok := s.Audio()
		want.Host = want.Addr.String()
		if !want.Addr.IsValid() {
			want.Host = "phone.example"
		}
		if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// Rewritten, a body leads to us and says the same otherwise. The golden lines are what differs from the original.
func TestRewriteChangesOnlyWhatItMust(t *testing.T) {
	for name, c := range map[string]struct{ gone, new []string }{
		"baresip": {
			[]string{"o=- 3901112 1 IN IP4 192.0.2.10", "c=IN IP4 192.0.2.10", "m=audio 27894 RTP/AVP 96 8 0 101", "a=rtcp:27895",
				"a=tool:baresip 3.16.0", "a=ssrc:2189476210 cname:sip:1001@demo.local"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 20000 RTP/AVP 96 8 0 101", "a=rtcp:20001"}},
		"linphone": {
			[]string{"o=alice 1234 4321 IN IP4 192.0.2.11", "s=Talk", "c=IN IP4 192.0.2.11", "m=audio 7078 RTP/AVP 96 97 0 8 101 99 100",
				"a=ice-pwd:abcdefghijklmnopqrstuv", "a=ice-ufrag:abcd", "a=candidate:1 1 UDP 2130706303 192.0.2.11 7078 typ host",
				"m=video 9078 RTP/AVP 96", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:* ccm fir"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 20000 RTP/AVP 96 97 0 8 101 99 100", "m=video 0 RTP/AVP 96", "s=-"}},
		"hold_old": {
			[]string{"o=CiscoSystemsSIP-GW-UserAgent 7 8 IN IP4 192.0.2.20", "s=SIP Call", "c=IN IP4 0.0.0.0", "m=audio 16642 RTP/AVP 0"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 20000 RTP/AVP 0", "a=sendonly", "s=-"}},
		"hold_new": {
			[]string{"o=- 1 2 IN IP4 192.0.2.10", "c=IN IP4 192.0.2.10", "m=audio 4000 RTP/AVP 0"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 20000 RTP/AVP 0"}},
		"ipv6": {
			[]string{"o=- 1 2 IN IP6 2001:db8::10", "c=IN IP6 2001:db8::10", "m=audio 4000 RTP/AVP 9", "a=rtcp:4444 IN IP6 2001:db8::11"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 20000 RTP/AVP 9", "a=rtcp:20001 IN IP4 198.51.100.1"}},
		"srtp_first": {
			[]string{"o=- 1 2 IN IP4 192.0.2.30", "c=IN IP4 192.0.2.30", "m=audio 0 RTP/AVP 8", "m=audio 5002 RTP/SAVP 8", "m=audio 5004 RTP/AVP 8",
				"a=rtpmap:8 PCMA/8000", "a=group:BUNDLE 1 2"},
			[]string{"c=IN IP4 198.51.100.1", "m=audio 0 RTP/AVP 8", "m=audio 20000 RTP/SAVP 8", "m=audio 0 RTP/AVP 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := file(t, name+".sdp")
			s, err := Parse(before)
			if err != nil {
				t.Fatal(err)
			}
			after := NewAuthor(77).Rewrite(s, ours)
			c.new = append(c.new, "o=- 77 77 IN IP4 198.51.100.1")
			gone, added := difference(lines(before), lines(after)), difference(lines(after), lines(before))
			wantGone, wantNew := difference(c.gone, c.new), difference(c.new, c.gone)
			slices.Sort(wantGone)
			slices.Sort(wantNew)
			if !slices.Equal(gone, wantGone) || !slices.Equal(added, wantNew) {
				t.Errorf("%s\ngone %q\nwant %q\nnew  %q\nwant %q", after, gone, wantGone, added, wantNew)
			}
			again, err := Parse(after)
			if err != nil {
				t.Fatalf("our own body: %v", err)
			}
			if a, ok := again.Audio(); !ok || a.Addr != ours.Addr || a.Port != ours.RTP {
				t.Errorf("our own body says %+v", a)
			}
		})
	}
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

// Lines keep their order, and every m= line its place (RFC 3264 §6).
func TestRewriteKeepsTheOrder(t *testing.T) {
	s := mustParse(t, "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=call\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=sendonly\r\n"+
		"m=video 9000 RTP/AVP 97\r\na=mid:v\r\na=rtpmap:97 H264/90000\r\nm=audio 9002 RTP/AVP 0\r\na=ptime:20\r\na=x-unknown\r\nm=image 9004 udptl t38\r\n")
	want := "v=0\r\no=- 5 5 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n" +
		"m=video 0 RTP/AVP 97\r\na=mid:v\r\nm=audio 20000 RTP/AVP 0\r\na=ptime:20\r\na=x-unknown\r\na=sendonly\r\nm=image 0 udptl t38\r\n"
	if got := string(NewAuthor(5).Rewrite(s, ours)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The version rises by one with each change and stays with none (RFC 3264 §8).
func TestVersionRisesWithChanges(t *testing.T) {
	body := "v=0\r\no=a 1 %d IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=%s\r\n"
	author := NewAuthor(100)
	for i, c := range []struct {
		version, port int
		direction     string
		want          uint64
	}{
		{1, 4000, "sendrecv", 100},
		{1, 4000, "sendrecv", 100}, // again
		{2, 4000, "sendonly", 101}, // held
		{3, 5000, "sendonly", 101}, // the peer behind us moved, which does not concern this one
		{4, 5000, "sendrecv", 102},
	} {
		s := mustParse(t, fmt.Sprintf(body, c.version, c.port, c.direction))
		got := string(author.Rewrite(s, ours))
		if want := fmt.Sprintf("o=- 100 %d IN IP4 198.51.100.1\r\n", c.want); !strings.Contains(got, want) || author.Version != c.want {
			t.Errorf("step %d: version %d, want %d, in\n%s", i+1, author.Version, c.want, got)
		}
	}
}

// Media that goes directly is left alone; only the origin is ours.
func TestRewriteForDirectMedia(t *testing.T) {
	before := file(t, "linphone.sdp")
	s, err := Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	after := NewAuthor(9).Rewrite(s, Local{})
	if gone, added := difference(lines(before), lines(after)), difference(lines(after), lines(before)); len(gone) != 1 || len(added) != 1 ||
		added[0] != "o=- 9 9 IN IP4 192.0.2.11" {
		t.Errorf("gone %q, new %q", gone, added)
	}
}

func TestMuxedRTCPAttribute(t *testing.T) {
	s := mustParse(t, "v=0\no=a 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp:4000\n")
	if a, ok := s.Audio(); !ok || !a.Mux || a.RTCP.Port() != 4000 {
		t.Errorf("%+v", a)
	}
	if got := string(NewAuthor(1).Rewrite(s, ours)); !strings.Contains(got, "a=rtcp:20000\r\n") {
		t.Errorf("want RTCP on our RTP port in\n%s", got)
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
		if got := string(NewAuthor(1).Rewrite(s, ours)); strings.Contains(got, "20000") || strings.Count(got, "m=") != strings.Count(media, "m=") {
			t.Errorf("%s: rewritten as\n%s", name, got)
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

// A body is refused, or what we make of it can be read by ourselves and leads to us, and is the same when made again.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(names) == 0 {
		f.Fatalf("no bodies to start from: %v", err)
	}
	for _, name := range names {
		f.Add(file(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			if s != nil || !errors.Is(err, ErrSyntax) {
				t.Fatalf("Parse = %v, %v", s, err)
			}
			return
		}
		before, audible := s.Audio()
		author := NewAuthor(1)
		out := author.Rewrite(s, ours)
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("our own body: %v\n%s", err, out)
		}
		after, ok := again.Audio()
		if ok != audible || len(again.media) != len(s.media) {
			t.Fatalf("audio %v became %v, %d media became %d", audible, ok, len(s.media), len(again.media))
		}
		if ok && (after.Addr != ours.Addr || after.Port != ours.RTP || after.Direction != before.Direction || !slices.Equal(after.Formats, before.Formats)) {
			t.Fatalf("%+v became %+v", before, after)
		}
		if twice := author.Rewrite(again, ours); !bytes.Equal(out, twice) {
			t.Fatalf("rewritten twice:\n%s\nonce:\n%s", twice, out)
		}
	})
}
