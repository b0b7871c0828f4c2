package quality

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"parley/internal/media/sdp"
)

const ours, theirs = 0x11111111, 0x22222222

var pcma = []sdp.Format{{Type: 8, Encoding: "PCMA", Clock: 8000}}

// talking is a stream after n packets each way, 20 ms apart, of which the peer's in lost did not come.
func talking(n int, lost ...int) (*Stream, time.Time) {
	s := New(ours)
	s.Agree(pcma, pcma, false)
	gone := map[int]bool{}
	for _, i := range lost {
		gone[i] = true
	}
	for i := range n {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		s.Sent(&rtp.Header{SSRC: ours, PayloadType: 8, SequenceNumber: uint16(65000 + i), Timestamp: uint32(i) * 160}, 160, 8000, at)
		if !gone[i] {
			s.Received(&rtp.Header{SSRC: theirs, PayloadType: 8, SequenceNumber: uint16(i), Timestamp: uint32(i) * 160}, 160, 8000, false, at)
		}
	}
	return &s, start.Add(time.Duration(n) * 20 * time.Millisecond)
}

// marshal is the datagram of a phone.
func marshal(t testing.TB, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// written is the report that s writes, as another implementation reads it.
func written(t testing.TB, s *Stream, now time.Time) []rtcp.Packet {
	t.Helper()
	packets, err := rtcp.Unmarshal(s.WriteRTCP(nil, now))
	if err != nil {
		t.Fatalf("our report cannot be read: %v", err)
	}
	return packets
}

func name(t testing.TB, p rtcp.Packet) string {
	t.Helper()
	d, ok := p.(*rtcp.SourceDescription)
	if !ok || len(d.Chunks) != 1 || d.Chunks[0].Source != ours || len(d.Chunks[0].Items) != 1 || d.Chunks[0].Items[0].Type != rtcp.SDESCNAME {
		t.Fatalf("%v, want a CNAME", p)
	}
	return d.Chunks[0].Items[0].Text
}

func TestSenderReport(t *testing.T) {
	s, now := talking(100, 50, 51)
	peer := uint64(0xAABBCCDD_11223344)
	if err := s.ReadRTCP(marshal(t, &rtcp.SenderReport{SSRC: theirs, NTPTime: peer}), now.Add(-1500*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	packets := written(t, s, now)
	sr, ok := packets[0].(*rtcp.SenderReport)
	if !ok || len(packets) != 2 {
		t.Fatalf("%v, want a sender report and a CNAME", packets)
	}
	if sr.SSRC != ours || sr.PacketCount != 100 || sr.OctetCount != 16000 || sr.RTPTime != 16000 {
		t.Errorf("%+v, want 100 packets, 16,000 octets, 20 ms after the last one", sr)
	}
	if got := sr.NTPTime >> 32; got != uint64(now.Unix())+2208988800 {
		t.Errorf("NTP seconds %d", got)
	}
	want := rtcp.ReceptionReport{SSRC: theirs, FractionLost: 5, TotalLost: 2, LastSequenceNumber: 99, LastSenderReport: 0xCCDD1122, Delay: 98304}
	if len(sr.Reports) != 1 || sr.Reports[0] != want {
		t.Errorf("%+v, want %+v", sr.Reports, want)
	}
	if cname := name(t, packets[1]); len(cname) != 16 || strings.ContainsAny(cname, "@.=") {
		t.Errorf("CNAME %q, want 96 random bits", cname)
	}
	other := New(ours)
	if string(other.cname[:]) == string(s.cname[:]) {
		t.Error("two legs have one CNAME")
	}
}

func TestFractionLostIsOfTheTimeSinceTheLastReport(t *testing.T) {
	s, now := talking(100, 50, 51)
	written(t, s, now)
	for i := 100; i < 200; i++ {
		if i%4 != 0 {
			s.Received(&rtp.Header{SSRC: theirs, PayloadType: 8, SequenceNumber: uint16(i), Timestamp: uint32(i) * 160}, 160, 8000, false, now)
		}
	}
	rr := written(t, s, now)[0].(*rtcp.SenderReport).Reports[0]
	if rr.FractionLost != 24*256/100 && rr.FractionLost != 25*256/100 || rr.TotalLost < 26 || rr.LastSequenceNumber != 199 {
		t.Errorf("%+v, want a quarter lost, 27 in all", rr)
	}
}

// A report about fewer packets lost than none (duplicates) is a negative number of 24 bits (RFC 3550 §6.4.1).
func TestDuplicatesMakeTheCumulativeLossNegative(t *testing.T) {
	s := feed(1, 1, 1, 2, 2)
	rr := written(t, s, start)[0].(*rtcp.ReceiverReport).Reports[0]
	if rr.TotalLost != 0xfffffd || rr.FractionLost != 0 {
		t.Errorf("%+v, want -3 lost and a fraction of 0", rr)
	}
}

func TestReceiverReportWhenNothingIsSent(t *testing.T) {
	s := feed(1, 2, 3)
	packets := written(t, s, start)
	rr, ok := packets[0].(*rtcp.ReceiverReport)
	if !ok || rr.SSRC != 1 || len(rr.Reports) != 1 || rr.Reports[0].SSRC != 2 {
		t.Errorf("%v, want a receiver report about the peer", packets[0])
	}
	rr, ok = written(t, s, start)[0].(*rtcp.ReceiverReport)
	if !ok || len(rr.Reports) != 0 {
		t.Errorf("%v, want no block about a peer that was not heard since", rr)
	}
}

// Who stops to send is a sender for one more report (RFC 3550 §6.4).
func TestSenderReportsEndAfterSending(t *testing.T) {
	s, now := talking(10)
	for i, want := range []bool{true, true, false, false} {
		if _, sender := written(t, s, now)[0].(*rtcp.SenderReport); sender != want {
			t.Errorf("report %d: sender report %v, want %v", i, sender, want)
		}
	}
}

func TestReportsOfThePeer(t *testing.T) {
	s, now := talking(500)
	if d := s.Figures(now).Sent; d.Measured || d.Rated || d.Packets != 500 || d.Codec != "PCMA" {
		t.Errorf("%+v before any report, want nothing but what was sent", d)
	}
	sent := s.WriteRTCP(nil, now)
	var sr rtcp.SenderReport
	if err := sr.Unmarshal(sent[:4*(int(sent[3])+1)]); err != nil {
		t.Fatal(err)
	}
	// The phone heard all up to number 65450 (our 451st), 9 of them lost, held our report for 2 s, and is 80 ms away.
	block := rtcp.ReceptionReport{
		SSRC: ours, FractionLost: 20, TotalLost: 9, LastSequenceNumber: 65450, Jitter: 80,
		LastSenderReport: uint32(sr.NTPTime >> 16), Delay: 2 << 16,
	}
	now = now.Add(2*time.Second + 80*time.Millisecond)
	stranger := rtcp.ReceptionReport{SSRC: 7, TotalLost: 400, LastSequenceNumber: 65450}
	if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{SSRC: theirs, Reports: []rtcp.ReceptionReport{stranger, block}}), now); err != nil {
		t.Fatal(err)
	}
	f := s.Figures(now)
	d := f.Sent
	if !d.Measured || d.Expected != 451 || d.Lost != 9 || d.Jitter != 10*time.Millisecond || f.RoundTrip.Round(time.Millisecond) != 80*time.Millisecond {
		t.Errorf("%+v, round trip %v; want 9 of 451 lost, jitter 10ms, 80ms", d, f.RoundTrip)
	}
	loss := 9. / 451 * 100
	listening := 93.2 - 95*loss/(loss+25.1)
	if !d.Rated || math.Abs(d.MOSLQ-MOS(listening)) > 1e-9 || math.Abs(d.R-(listening-0.96)) > 0.001 || math.Abs(d.MOSCQ-MOS(listening-0.96)) > 1e-4 {
		t.Errorf("%+v, want R %.2f without and 0.96 less with 40 ms", d, listening)
	}
}

func TestReportsThatCannotBe(t *testing.T) {
	s, now := talking(500)
	sent := s.WriteRTCP(nil, now)
	var sr rtcp.SenderReport
	if err := sr.Unmarshal(sent[:4*(int(sent[3])+1)]); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]rtcp.ReceptionReport{
		"of another stream":           {SSRC: 9, LastSequenceNumber: 65100},
		"of packets never sent":       {SSRC: ours, LastSequenceNumber: 1000},
		"of packets before the first": {SSRC: ours, LastSequenceNumber: 64000},
	} {
		if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{block}}), now); err != nil {
			t.Fatal(err)
		}
		if s.Figures(now).Sent.Measured {
			t.Errorf("a report %s was believed", name)
		}
	}
	for name, block := range map[string]rtcp.ReceptionReport{
		"names a report that was never sent": {SSRC: ours, LastSequenceNumber: 65100, LastSenderReport: 12345, Delay: 1},
		"held it for longer than it is old":  {SSRC: ours, LastSequenceNumber: 65100, LastSenderReport: uint32(sr.NTPTime >> 16), Delay: 60 << 16},
		"names none":                         {SSRC: ours, LastSequenceNumber: 65100},
	} {
		if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{block}}), now.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if rtt := s.Figures(now).RoundTrip; rtt != 0 {
			t.Errorf("a report that %s made a round trip of %v", name, rtt)
		}
	}
}

func TestExtendedReports(t *testing.T) {
	s, now := talking(1000, 300, 302, 304, 600)
	if packets := written(t, s, now); len(packets) != 2 {
		t.Fatalf("%v to a peer that never asked for more", packets)
	}
	s.Agree(pcma, pcma, true)
	s.Received(&rtp.Header{SSRC: theirs, PayloadType: 8, SequenceNumber: 1000, Timestamp: 160000}, 160, 8000, false, now)
	s.Buffered(Buffer{Nominal: 40 * time.Millisecond, Maximum: 80 * time.Millisecond, Absolute: 200 * time.Millisecond, Adaptive: true})
	packets := written(t, s, now)
	xr, ok := packets[len(packets)-1].(*rtcp.ExtendedReport)
	if !ok || len(xr.Reports) != 1 || xr.SenderSSRC != ours {
		t.Fatalf("%v, want an extended report", packets)
	}
	v, ok := xr.Reports[0].(*rtcp.VoIPMetricsReportBlock)
	if !ok {
		t.Fatalf("%v, want VoIP metrics", xr.Reports[0])
	}
	want := rtcp.VoIPMetricsReportBlock{
		XRHeader: rtcp.XRHeader{BlockType: 7, BlockLength: 8}, SSRC: theirs, LossRate: 1, BurstDensity: 153, BurstDuration: 100,
		GapDuration: 9960, EndSystemDelay: 40, SignalLevel: 127, NoiseLevel: 127, RERL: 127, Gmin: 16, RFactor: 92, ExtRFactor: 127,
		MOSLQ: 44, MOSCQ: 127, RXConfig: 0xf0, JBNominal: 40, JBMaximum: 80, JBAbsMax: 200,
	}
	if *v != want {
		t.Errorf("\n got %+v\nwant %+v", *v, want)
	}
}

// A peer that only listens cannot tell the round trip by LSR: it sends its time and we answer, and so do we.
func TestRoundTripOfReceivers(t *testing.T) {
	s := feed(1, 2, 3)
	now := start
	if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{SSRC: 2}, &rtcp.ExtendedReport{SenderSSRC: 2, Reports: []rtcp.ReportBlock{
		&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 0x1111222233334444},
	}}), now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(500 * time.Millisecond)
	packets := written(t, s, now)
	xr := packets[len(packets)-1].(*rtcp.ExtendedReport)
	reference, ok := xr.Reports[0].(*rtcp.ReceiverReferenceTimeReportBlock)
	if !ok {
		t.Fatalf("%v, want our time first", xr.Reports)
	}
	answer, ok := xr.Reports[1].(*rtcp.DLRRReportBlock)
	if want := (rtcp.DLRRReport{SSRC: 2, LastRR: 0x22223333, DLRR: 1 << 15}); !ok || len(answer.Reports) != 1 || answer.Reports[0] != want {
		t.Fatalf("%v, want the answer to its time", xr.Reports[1])
	}
	now = now.Add(time.Second + 30*time.Millisecond)
	if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{SSRC: 2}, &rtcp.ExtendedReport{SenderSSRC: 2, Reports: []rtcp.ReportBlock{
		&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: 1, LastRR: uint32(reference.NTPTimestamp >> 16), DLRR: 1 << 16}}},
	}}), now); err != nil {
		t.Fatal(err)
	}
	if got := s.Figures(now).RoundTrip.Round(time.Millisecond); got != 30*time.Millisecond {
		t.Errorf("round trip %v, want 30ms", got)
	}
}

func TestRatingOfThePeerIsBelieved(t *testing.T) {
	s, now := talking(500)
	block := rtcp.ReceptionReport{SSRC: ours, LastSequenceNumber: 65499 & 0xffff}
	voip := rtcp.VoIPMetricsReportBlock{SSRC: ours, DiscardRate: 13, BurstDensity: 64, BurstDuration: 400, RFactor: 61, MOSLQ: 32, MOSCQ: 31}
	read := func() Direction {
		t.Helper()
		if err := s.ReadRTCP(marshal(t, &rtcp.ReceiverReport{SSRC: theirs, Reports: []rtcp.ReceptionReport{block}},
			&rtcp.ExtendedReport{SenderSSRC: theirs, Reports: []rtcp.ReportBlock{&voip}}), now); err != nil {
			t.Fatal(err)
		}
		return s.Figures(now).Sent
	}
	if d := read(); !d.ByPeer || d.R != 61 || d.MOSLQ != 3.2 || d.MOSCQ != 3.1 || d.BurstTime != 400*time.Millisecond || d.Discarded != 25 {
		t.Errorf("%+v, want what the peer says", d)
	}
	voip.RFactor, voip.MOSLQ, voip.MOSCQ = 127, 127, 127
	if d := read(); d.ByPeer || !d.Rated || d.MOSLQ == 12.7 {
		t.Errorf("%+v, want our own rating where the peer has none", d)
	}
}

func TestGoodbye(t *testing.T) {
	s := New(ours)
	if b := s.WriteBye(nil, start); len(b) != 0 {
		t.Errorf("a leg that never sent anything says goodbye: %x", b)
	}
	talk, now := talking(10)
	packets, err := rtcp.Unmarshal(talk.WriteBye(nil, now))
	if err != nil {
		t.Fatal(err)
	}
	bye, ok := packets[len(packets)-1].(*rtcp.Goodbye)
	if _, first := packets[0].(*rtcp.SenderReport); !ok || !first || len(bye.Sources) != 1 || bye.Sources[0] != ours {
		t.Errorf("%v, want a report that ends with BYE", packets)
	}
	name(t, packets[1])
	if err := talk.ReadRTCP(marshal(t, &rtcp.ReceiverReport{SSRC: theirs}, &rtcp.Goodbye{Sources: []uint32{theirs}}), now); err != nil {
		t.Fatal(err)
	}
	if sr := written(t, talk, now)[0].(*rtcp.SenderReport); len(sr.Reports) != 0 {
		t.Errorf("a peer that left is reported about: %v", sr.Reports)
	}
}

// The first report comes after 2.5 s, the others after 5 s, by a half more or less, over e - 1.5 (RFC 3550 §6.3.1).
func TestTiming(t *testing.T) {
	first, later := map[time.Duration]bool{}, map[time.Duration]bool{}
	wait := func(s *Stream, from time.Time) time.Duration {
		for d := time.Duration(0); d < 10*time.Second; d += 5 * time.Millisecond {
			if s.Due(from.Add(d)) {
				return d
			}
		}
		return -1
	}
	low, high := 2052*time.Millisecond, 6157*time.Millisecond
	for range 200 {
		s := New(ours)
		d := wait(&s, start)
		if first[d] = true; d < low/2 || d > high/2+5*time.Millisecond {
			t.Fatalf("the first report is due after %v", d)
		}
		now := start.Add(d)
		if !s.Due(now) {
			t.Fatal("a report is due only once, though none was written")
		}
		s.WriteRTCP(nil, now)
		d = wait(&s, now)
		if later[d] = true; d < low || d > high+5*time.Millisecond {
			t.Fatalf("the second report is due after %v", d)
		}
	}
	if len(first) < 50 || len(later) < 50 {
		t.Errorf("%d and %d different times in 200, want them spread", len(first), len(later))
	}
}

func TestLimitsOfRTCP(t *testing.T) {
	s := New(ours)
	report := marshal(t, &rtcp.ReceiverReport{SSRC: theirs})
	for name, b := range map[string][]byte{
		"long":         make([]byte, maxDatagram+1),
		"cut":          report[:6],
		"of version 1": append([]byte{0x41}, report[1:]...),
		"half a block": marshal(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{}}})[:16],
	} {
		if err := s.ReadRTCP(b, start.Add(time.Hour)); err == nil {
			t.Errorf("RTCP that is %s was read", name)
		}
	}
	now := start.Add(2 * time.Hour)
	for range maxSecond {
		if err := s.ReadRTCP(report, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReadRTCP(report, now); err == nil {
		t.Error("a ninth datagram in one second was read")
	}
	if err := s.ReadRTCP(report, now.Add(time.Second)); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

func BenchmarkWriteRTCP(b *testing.B) {
	s, now := talking(500, 100)
	s.Agree(pcma, pcma, true)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		s.arrival.packets++ // so that there is something to report about
		buf = s.WriteRTCP(buf[:0], now)
	}
}
