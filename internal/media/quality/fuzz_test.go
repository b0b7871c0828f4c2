package quality

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// check holds what must be true of any stream at any time, and that its report can be read.
func check(t *testing.T, s *Stream, now time.Time) {
	t.Helper()
	f := s.Figures(now)
	for _, d := range []Direction{f.Received, f.Sent} {
		switch {
		case d.Lost > d.Expected || d.Discarded > d.Expected || d.LossRuns > d.Lost+d.Discarded:
			t.Fatalf("more lost than there was: %+v", d)
		case d.BurstDensity < 0 || d.BurstDensity > 1 || d.GapDensity < 0 || d.GapDensity > 1 || d.BurstTime < 0 || d.GapTime < 0:
			t.Fatalf("impossible bursts: %+v", d)
		case d.Rated && (d.R < 0 || d.R > 100 || d.MOSLQ < 1 || d.MOSLQ > 5 || d.MOSCQ > 5):
			t.Fatalf("impossible rating: %+v", d)
		case d.Rated && !d.Measured, d.Jitter < 0:
			t.Fatalf("a rating of nothing: %+v", d)
		}
	}
	if f.RoundTrip < 0 {
		t.Fatalf("round trip %v", f.RoundTrip)
	}
	report := s.WriteRTCP(nil, now)
	if _, err := rtcp.Unmarshal(report); err != nil || len(report) > 300 {
		t.Fatalf("our report of %d bytes: %v", len(report), err)
	}
}

// Whatever comes from a peer leaves figures that are possible and a report that can be read.
func FuzzReadRTCP(f *testing.F) {
	f.Add(marshal(f, &rtcp.SenderReport{SSRC: theirs, NTPTime: 1 << 40, Reports: []rtcp.ReceptionReport{{SSRC: ours, FractionLost: 3, LastSequenceNumber: 65020}}}))
	f.Add(marshal(f, &rtcp.ReceiverReport{SSRC: theirs, Reports: []rtcp.ReceptionReport{{SSRC: ours, TotalLost: 0xffffff, LastSequenceNumber: 65020}}},
		rtcp.NewCNAMESourceDescription(theirs, "a@b"), &rtcp.Goodbye{Sources: []uint32{theirs}}))
	f.Add(marshal(f, &rtcp.ExtendedReport{SenderSSRC: theirs, Reports: []rtcp.ReportBlock{
		&rtcp.VoIPMetricsReportBlock{SSRC: ours, MOSLQ: 41}, &rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: ours}}},
		&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 77}, &rtcp.LossRLEReportBlock{SSRC: ours, Chunks: []rtcp.Chunk{1, 2}},
	}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, now := talking(30, 4, 5)
		s.WriteRTCP(nil, now)
		_ = s.ReadRTCP(b, now) // what is wrong with it may be said or not
		check(t, s, now)
	})
}

// Whatever headers a peer sends, the books of a stream balance: each packet that came is new, a duplicate, or one that
// does not belong to it.
func FuzzReceived(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0})
	f.Add([]byte{255, 255, 0, 0, 0, 0, 0, 0, 255, 254, 0, 0, 0, 200, 1, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(ours)
		now := start
		for ; len(b) >= 4; b = b[4:] {
			now = now.Add(time.Duration(b[3]) * time.Millisecond)
			h := rtp.Header{SSRC: uint32(b[2] >> 6), PayloadType: b[2] & 0x1f, SequenceNumber: binary.BigEndian.Uint16(b), Timestamp: uint32(b[3]) << 25}
			s.Received(&h, int(b[3]), 8000, b[2]&0x20 != 0, now)
			if b[2]&1 != 0 {
				s.Discarded(h.SequenceNumber - uint16(b[3]))
			}
		}
		a := &s.arrival
		if a.unique+a.duplicates > a.packets {
			t.Fatalf("%d packets, %d of them new and %d twice", a.packets, a.unique, a.duplicates)
		}
		if settled := a.settled(); settled.packets != a.expected() || settled.losses != a.expected()-a.unique+a.discarded {
			t.Fatalf("%d packets and %d losses are settled, of %d expected, %d that came and %d not played",
				settled.packets, settled.losses, a.expected(), a.unique, a.discarded)
		}
		check(t, &s, now)
	})
}
