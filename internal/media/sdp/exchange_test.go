package sdp

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pion "github.com/pion/sdp/v3"
)

// can is what a node of these tests goes between.
var can = []Format{pcma, pcmu, g722, {Type: 101, Encoding: TelephoneEvent, Clock: 8000, Params: "0-15"}}

const head = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

// body is a description with these lines after the header.
func body(lines ...string) string { return head + strings.Join(lines, "\r\n") + "\r\n" }

// media are the lines of a body from the first m= on.
func media(b []byte) []string {
	var out []string
	for _, l := range lines(b) {
		if len(out) > 0 || strings.HasPrefix(l, "m=") {
			out = append(out, l)
		}
	}
	return out
}

// answered is our answer to an offer that ends here.
func answered(t testing.TB, offer string) ([]byte, error) {
	s := mustParse(t, offer)
	a, ok := s.Audio()
	if !ok {
		t.Fatalf("no audio in\n%s", offer)
	}
	formats, err := Accept(a.Formats, can)
	if err != nil {
		return nil, err
	}
	return NewAuthor(5).Answer(s, &Terms{Local: local, Formats: formats, Direction: SendRecv.Within(a.Direction), Mux: true}), nil
}

// The answers of a leg that ends here, to the offers of RFC 3264 §10 and RFC 4317 and to others.
func TestAnswers(t *testing.T) {
	const events = "a=rtpmap:97 telephone-event/8000"
	for name, c := range map[string]struct{ offer, want []string }{
		"RFC 3264 10.1, two videos": {
			[]string{"m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 51372 RTP/AVP 31", "a=rtpmap:31 H261/90000", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000"},
			[]string{"m=audio 20000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendrecv", "m=video 0 RTP/AVP 31", "m=video 0 RTP/AVP 32"}},
		"RFC 3264 10.2, inactive at first": {
			[]string{"m=audio 62986 RTP/AVP 0 4 18", "a=rtpmap:0 PCMU/8000", "a=rtpmap:4 G723/8000", "a=rtpmap:18 G729/8000", "a=inactive"},
			[]string{"m=audio 20000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=inactive"}},
		"RFC 4317 2.1, three codecs": {
			[]string{"m=audio 49170 RTP/AVP 0 8 97", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:97 iLBC/8000", "m=video 51372 RTP/AVP 31 32", "a=rtpmap:31 H261/90000"},
			[]string{"m=audio 20000 RTP/AVP 0 8", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=sendrecv", "m=video 0 RTP/AVP 31 32"}},
		"RFC 4317 2.4, audio and events": {
			[]string{"m=audio 49170 RTP/AVP 0 97", "a=rtpmap:0 PCMU/8000", events, "a=fmtp:97 0-11", "m=audio 49172 RTP/AVP 98", "a=rtpmap:98 telephone-event/8000", "a=sendonly"},
			[]string{"m=audio 20000 RTP/AVP 0 97", "a=rtpmap:0 PCMU/8000", events, "a=fmtp:97 0-11", "a=sendrecv", "m=audio 0 RTP/AVP 98"}},
		"RFC 4317 3.1, held": {
			[]string{"m=audio 49170 RTP/AVP 0", "a=sendonly"},
			[]string{"m=audio 20000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=recvonly"}},
		"held the old way": {
			[]string{"m=audio 49170 RTP/AVP 0", "c=IN IP4 0.0.0.0"},
			[]string{"m=audio 20000 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=recvonly"}},
		"fax behind the audio": {
			[]string{"m=audio 49170 RTP/AVP 8", "m=image 4000 udptl t38", "a=T38FaxVersion:0"},
			[]string{"m=audio 20000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=sendrecv", "m=image 0 udptl t38"}},
		"audio last": {
			[]string{"m=video 4000 RTP/AVP 96", "a=mid:v", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 49170 RTP/AVPF 9", "a=mid:a"},
			[]string{"m=video 0 RTP/AVP 96", "a=mid:v", "m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 20000 RTP/AVPF 9", "a=rtpmap:9 G722/8000", "a=mid:a", "a=sendrecv"}},
		"RTCP on the same port": {
			[]string{"m=audio 49170 RTP/AVP 8", "a=rtcp-mux"},
			[]string{"m=audio 20000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=sendrecv", "a=rtcp-mux"}},
		"events of the clock of the codec only": {
			[]string{"m=audio 49170 RTP/AVP 96 8 101 102", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/48000", "a=rtpmap:102 telephone-event/8000"},
			[]string{"m=audio 20000 RTP/AVP 8 102", "a=rtpmap:8 PCMA/8000", "a=rtpmap:102 telephone-event/8000", "a=sendrecv"}},
	} {
		got, err := answered(t, body(c.offer...))
		if err != nil || !slices.Equal(media(got), c.want) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, media(got), c.want)
		}
	}
	if _, err := answered(t, body("m=audio 4000 RTP/AVP 18")); !errors.Is(err, ErrNoFormat) {
		t.Errorf("an offer of G.729 alone: %v", err)
	}
}

// The offers that two phones get of each other, and what comes back.
func TestBetweenTwoPhones(t *testing.T) {
	const dtmf = "a=rtpmap:101 telephone-event/8000"
	for name, c := range map[string]struct {
		offer, answer []string // of the first phone, and of the second
		told          string   // formats that the second was offered
		back          string   // formats that the first was answered, "" = nothing fits
	}{
		"one codec":                         {[]string{"m=audio 4000 RTP/AVP 0"}, []string{"m=audio 5000 RTP/AVP 0"}, "0 8 9 101", "0"},
		"the second likes another":          {[]string{"m=audio 4000 RTP/AVP 0 8"}, []string{"m=audio 5000 RTP/AVP 8 0"}, "0 8 9 101", "8 0"},
		"none in common":                    {[]string{"m=audio 4000 RTP/AVP 8 101", dtmf}, []string{"m=audio 5000 RTP/AVP 9 101", dtmf}, "8 101 0 9", "8 101"},
		"digits with one only":              {[]string{"m=audio 4000 RTP/AVP 8 101", dtmf}, []string{"m=audio 5000 RTP/AVP 9"}, "8 101 0 9", "8 101"},
		"digits with the other only":        {[]string{"m=audio 4000 RTP/AVP 8"}, []string{"m=audio 5000 RTP/AVP 8 101", dtmf}, "8 0 9 101", "8"},
		"digits and a codec we do not know": {[]string{"m=audio 4000 RTP/AVP 18 8 101", dtmf}, []string{"m=audio 5000 RTP/AVP 18"}, "18 8 101 0 9", "18"},
		"a codec we do not know":            {[]string{"m=audio 4000 RTP/AVP 18"}, []string{"m=audio 5000 RTP/AVP 18"}, "18", "18"},
		"known and unknown":                 {[]string{"m=audio 4000 RTP/AVP 18 8"}, []string{"m=audio 5000 RTP/AVP 18"}, "18 8 0 9 101", "18"},
		"unknown, and not common":           {[]string{"m=audio 4000 RTP/AVP 18"}, []string{"m=audio 5000 RTP/AVP 8"}, "18", ""},
		"the answer has its own numbers": {[]string{"m=audio 4000 RTP/AVP 96 0", "a=rtpmap:96 opus/48000/2"}, []string{"m=audio 5000 RTP/AVP 111", "a=rtpmap:111 opus/48000/2"},
			"96 0 8 9 101", "96"},
		"modes that do not fit": {[]string{"m=audio 4000 RTP/AVP 97 0", "a=rtpmap:97 AMR/8000", "a=fmtp:97 octet-align=1"}, []string{"m=audio 5000 RTP/AVP 98 0", "a=rtpmap:98 AMR/8000"},
			"97 0 8 9 101", "0"},
		"wishes that differ": {[]string{"m=audio 4000 RTP/AVP 18", "a=fmtp:18 annexb=no"}, []string{"m=audio 5000 RTP/AVP 18", "a=fmtp:18 annexb=yes"}, "18", "18"},
	} {
		first, _ := mustParse(t, body(c.offer...)).Audio()
		offer := NewAuthor(6).Number(Widen(first.Formats, can))
		if got := types(offer); got != c.told {
			t.Errorf("%s: the second is offered %q, want %q", name, got, c.told)
		}
		second, _ := mustParse(t, body(c.answer...)).Audio()
		taken, err := Take(offer, second.Formats)
		var back []Format
		if err == nil {
			back, err = Back(first.Formats, taken, can)
		}
		if got := types(back); got != c.back || (err == nil) != (c.back != "") {
			t.Errorf("%s: the first is answered %q (%v), want %q", name, got, err, c.back)
		}
	}
}

func types(formats []Format) string {
	var out []string
	for _, f := range formats {
		out = append(out, fmt.Sprint(f.Type))
	}
	return strings.Join(out, " ")
}

// A payload type keeps its meaning for a peer, whoever else the peer is joined with (RFC 3264 §8.3.2).
func TestPayloadTypesKeepTheirMeaning(t *testing.T) {
	a := NewAuthor(1)
	dynamic := func(n uint8, encoding string, clock uint32) Format {
		return Format{Type: n, Encoding: encoding, Clock: clock}
	}
	opus, speex, dtmf := dynamic(96, "opus", 48000), dynamic(97, "speex", 16000), dynamic(101, TelephoneEvent, 8000)
	for i, c := range []struct {
		offered []Format
		want    string
	}{
		{[]Format{opus, pcma, dtmf}, "96 8 101"},
		{[]Format{dynamic(111, "OPUS", 48000), pcma, dynamic(96, TelephoneEvent, 8000)}, "96 8 101"}, // of a phone with other numbers
		{[]Format{speex, dynamic(96, "iLBC", 8000)}, "97 98"},                                        // 96 is opus here
		{[]Format{dynamic(98, "speex", 16000), dynamic(97, "iLBC", 8000)}, "97 98"},
	} {
		if got := types(a.Number(c.offered)); got != c.want {
			t.Errorf("offer %d has %q, want %q", i+1, got, c.want)
		}
	}
}

// The m= lines that a peer brought stay where they were in what it is offered later (RFC 3264 §8).
func TestOffersKeepMediaLines(t *testing.T) {
	a := NewAuthor(9)
	s := mustParse(t, body("m=video 4000 RTP/AVP 96", "m=audio 4002 RTP/AVP 8", "a=mid:sound"))
	terms := &Terms{Local: local, Formats: []Format{pcma}, Direction: SendRecv}
	a.Answer(s, terms)
	terms.Direction = SendOnly
	want := []string{"m=video 0 RTP/AVP 96", "m=audio 20000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=mid:sound", "a=sendonly"}
	if got := media(a.Offer(terms)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	a.Restart()
	if got := media(a.Offer(terms)); len(got) != 3 || got[0] != "m=audio 20000 RTP/AVP 8" {
		t.Errorf("in another dialog: %q", got)
	}
}

// The version rises by one with each change and stays with none (RFC 3264 §8).
func TestVersionRisesWithChanges(t *testing.T) {
	author := NewAuthor(100)
	for i, c := range []struct {
		direction Direction
		port      uint16
		want      uint64
	}{
		{SendRecv, 4000, 100}, {SendRecv, 4000, 100}, {SendOnly, 4000, 101}, {SendOnly, 4000, 101}, {SendOnly, 4002, 102}, {SendRecv, 4000, 103},
	} {
		got := string(author.Offer(&Terms{Local: Local{Addr: local.Addr, RTP: c.port}, Formats: []Format{pcmu}, Direction: c.direction}))
		if want := fmt.Sprintf("o=- 100 %d IN IP4 198.51.100.1\r\n", c.want); !strings.Contains(got, want) || author.Version != c.want {
			t.Errorf("step %d: version %d, want %d, in\n%s", i+1, author.Version, c.want, got)
		}
	}
}

// What browsers want to read, and what phones with keys in SDP do.
func TestProtectedBodies(t *testing.T) {
	s := mustParse(t, string(file(t, "chromium.sdp")))
	terms := &Terms{Local: local, Profile: WebRTC, Formats: []Format{g722}, Direction: SendRecv, Mux: true,
		Fingerprint: "sha-256 AB:CD", Setup: "passive", Ufrag: "abcd", Pwd: "0123456789012345678901", Candidate: "1 1 udp 2130706431 198.51.100.1 20000 typ host"}
	got := lines(NewAuthor(3).Answer(s, terms))
	want := []string{"v=0", "o=- 3 3 IN IP4 198.51.100.1", "s=-", "c=IN IP4 198.51.100.1", "t=0 0", "a=group:BUNDLE 0", "a=ice-lite",
		"m=audio 20000 UDP/TLS/RTP/SAVPF 9", "a=rtpmap:9 G722/8000", "a=mid:0", "a=sendrecv", "a=rtcp-mux", "a=fingerprint:sha-256 AB:CD", "a=setup:passive",
		"a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", "a=candidate:1 1 udp 2130706431 198.51.100.1 20000 typ host", "a=end-of-candidates",
		"m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:1"}
	if !slices.Equal(got, want) {
		t.Errorf("answer\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	offer := mustParse(t, string(NewAuthor(4).Offer(terms)))
	if a, ok := offer.Audio(); !ok || a.Profile != WebRTC || !a.bundled || a.Keys() != Handshake || !a.Mux || a.Setup != "passive" {
		t.Errorf("our own offer says %+v", a)
	}
	told := mustParse(t, string(NewAuthor(4).Offer(&Terms{Local: local, Profile: SAVP, Formats: []Format{pcma}, Crypto: []string{"1 AES_CM_128_HMAC_SHA1_80 inline:x"}})))
	if a, ok := told.Audio(); !ok || a.Profile != SAVP || a.Keys() != Told || len(a.Crypto) != 1 {
		t.Errorf("our own offer says %+v", a)
	}
}

func TestWithin(t *testing.T) {
	for _, offered := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
		for _, d := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
			got := d.Within(offered)
			if got.Sends() != (d.Sends() && offered.Receives()) || got.Receives() != (d.Receives() && offered.Sends()) {
				t.Errorf("%v in an answer to %v is %v", d, offered, got)
			}
		}
	}
}

// A body is refused, or understood as pion understands it where pion does; it passes with our origin and is the same then.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			if s != nil || !errors.Is(err, ErrSyntax) {
				t.Fatalf("Parse = %v, %v", s, err)
			}
			return
		}
		a, audible := s.Audio()
		author := NewAuthor(1)
		out := author.Forward(s)
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("with our origin: %v\n%s", err, out)
		}
		if b, ok := again.Audio(); ok != audible || fmt.Sprint(a) != fmt.Sprint(b) || again.Media() != s.Media() || again.Sum() != s.Sum() {
			t.Fatalf("%+v became %+v", a, b)
		}
		if twice := author.Forward(again); string(twice) != string(out) {
			t.Fatalf("passed twice:\n%s\nonce:\n%s", twice, out)
		}
		var d pion.SessionDescription
		if d.Unmarshal(body) == nil && len(d.MediaDescriptions) != s.Media() {
			t.Fatalf("%d m= lines, pion reads %d", s.Media(), len(d.MediaDescriptions))
		}
	})
}

// FuzzExchange lets two phones say anything: each answer matches its offer line by line, and nothing is told that was not said.
func FuzzExchange(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, one, other []byte) {
		s, err := Parse(one)
		if err != nil {
			return
		}
		a, ok := s.Audio()
		if !ok {
			return
		}
		toFirst, toSecond := NewAuthor(1), NewAuthor(2)
		wide := Widen(a.Formats, can)
		if len(wide) > MaxFormats {
			t.Fatalf("%d formats", len(wide))
		}
		offered := toSecond.Number(wide)
		offer := mustParse(t, string(toSecond.Offer(&Terms{Local: local, Formats: offered, Direction: a.Direction, PTime: a.PTime, MaxPTime: a.MaxPTime, Mux: true})))
		if o, ok := offer.Audio(); !ok || len(o.Formats) > len(offered) || o.Direction != a.Direction || o.Port != local.RTP {
			t.Fatalf("offered %+v, reads as %+v", offered, o)
		}
		var formats []Format
		if r, err := Parse(other); err == nil {
			b, _ := r.Audio()
			if taken, err := Take(offered, b.Formats); err == nil {
				formats, _ = Back(a.Formats, taken, can)
			}
		}
		if formats == nil {
			if formats, err = Accept(a.Formats, can); err != nil {
				return
			}
		}
		body := toFirst.Answer(s, &Terms{Local: local, Formats: formats, Direction: SendRecv.Within(a.Direction), Mux: true})
		checkAnswer(t, s, body)
	})
}

// checkAnswer holds what is true of every answer (RFC 3264 §6).
func checkAnswer(t *testing.T, offer *Session, body []byte) {
	t.Helper()
	answer, err := Parse(body)
	if err != nil {
		t.Fatalf("our own answer: %v\n%s", err, body)
	}
	if answer.Media() != offer.Media() || answer.audio != offer.audio {
		t.Fatalf("%d m= lines, audio %d, answer %d, audio %d", offer.Media(), offer.audio, answer.Media(), answer.audio)
	}
	for i, m := range answer.media {
		if o := offer.media[i]; m.kind != o.kind || m.proto != o.proto || m.mid != o.mid || m.port != 0 && i != offer.audio {
			t.Fatalf("line %d: %+v answers %+v", i+1, m, o)
		}
	}
	said, got := offer.said, answer.said
	if got.Mux && !said.Mux || got.Direction.Within(said.Direction) != got.Direction || !anySpeech(got.Formats) {
		t.Fatalf("%+v answers %+v", got, said)
	}
	for _, f := range got.Formats {
		if !slices.ContainsFunc(said.Formats, func(g Format) bool { return g.Type == f.Type && g.is(f.Encoding) && g.Clock == f.Clock }) {
			t.Fatalf("%+v was not offered in %+v", f, said.Formats)
		}
	}
}

// seeds are the bodies of testdata, for targets of one body and of two.
func seeds(f *testing.F) {
	names, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(names) == 0 {
		f.Fatalf("no bodies to start from: %v", err)
	}
	for i, name := range names {
		b, next := file(f, filepath.Base(name)), file(f, filepath.Base(names[(i+1)%len(names)]))
		if strings.HasSuffix(f.Name(), "Exchange") {
			f.Add(b, next)
		} else {
			f.Add(b)
		}
	}
}
