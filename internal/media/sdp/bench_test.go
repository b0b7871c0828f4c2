package sdp

import "testing"

// What a call costs here: an offer is read, another written, its answer read, and one written back.
func BenchmarkCall(b *testing.B) {
	offer, answer := file(b, "baresip.sdp"), []byte(body("m=audio 5000 RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000"))
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(offer)
		if err != nil {
			b.Fatal(err)
		}
		a, _ := s.Audio()
		toFirst, toSecond := NewAuthor(1), NewAuthor(2)
		offered := toSecond.Number(Widen(a.Formats, can))
		_ = toSecond.Offer(&Terms{Local: local, Formats: offered, Direction: a.Direction})
		r, err := Parse(answer)
		if err != nil {
			b.Fatal(err)
		}
		said, _ := r.Audio()
		taken, err := Take(offered, said.Formats)
		if err != nil {
			b.Fatal(err)
		}
		formats, err := Back(a.Formats, taken, can)
		if err != nil {
			b.Fatal(err)
		}
		_ = toFirst.Answer(s, &Terms{Local: local, Formats: formats, Direction: said.Direction})
	}
}

func BenchmarkParse(b *testing.B) {
	body := file(b, "baresip.sdp")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
