package transport

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
)

const second = int64(time.Second)

func TestRateLetsTheBurstThroughAndThenTheRate(t *testing.T) {
	r := newRate(100, 10)
	var due int64
	now := 5 * second
	count := func(n int, step int64) (through int) {
		for range n {
			if r.take(&due, now) {
				through++
			}
			now += step
		}
		return through
	}
	if n := count(50, 0); n != 10 {
		t.Errorf("at once: %d, want the burst of 10", n)
	}
	if n := count(1000, second/1000); n < 99 || n > 101 {
		t.Errorf("in a second of 1,000: %d, want 100", n)
	}
	now += second
	if n := count(50, 0); n != 10 {
		t.Errorf("after a rest: %d, want the burst of 10", n)
	}
	if r := newRate(-1, 1); !r.take(&due, 0) {
		t.Error("a negative rate is no limit")
	}
}

// sixtyThousand sends one datagram from each of 60,000 sources within a second.
func sixtyThousand(l *limiter, now int64) (through int) {
	for i := range uint32(60000) {
		if l.takeStranger(keyOf(spoofed(i)), now+int64(i)*second/60000) == accepted {
			through++
		}
	}
	return through
}

func TestSixtyThousandSourcesDoNotStarveTheKnown(t *testing.T) {
	l := newLimiter(Limits{StrangersRate: 5000}.withDefaults())
	phone := netip.MustParseAddr("198.51.100.7")
	now := 100 * second
	l.vouch(phone, now+60*second)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	through := 0
	for i := range 3 {
		through += sixtyThousand(l, now+int64(i)*second)
	}
	runtime.ReadMemStats(&after)
	if grown := after.Mallocs - before.Mallocs; grown > 100 {
		t.Errorf("180,000 datagrams made %d allocations", grown)
	}
	if most := 3*5000 + 2*5000; through > most+10 {
		t.Errorf("let %d through, want %d at the most", through, most)
	}
	now += 3 * second
	for range 1000 {
		if known, ok := l.takeKnown(keyOf(phone), now); !known || !ok {
			t.Fatal("the phone was pushed out or limited")
		}
	}
	if known, _ := l.takeKnown(keyOf(phone), now+100*second); known {
		t.Error("the phone is known for longer than was vouched for")
	}
}

func TestOneStrangerIsLimitedAndOthersAreNot(t *testing.T) {
	l := newLimiter(Limits{StrangerRate: 100, StrangerBurst: 50}.withDefaults())
	loud, quiet := keyOf(netip.MustParseAddr("203.0.113.1")), keyOf(netip.MustParseAddr("203.0.113.2"))
	through := 0
	for range 1000 {
		if why := l.takeStranger(loud, second); why == accepted {
			through++
		} else if why != dropSourceRate {
			t.Fatalf("dropped for %s", dropNames[why])
		}
	}
	if through != 50 {
		t.Errorf("the loud one got %d through, want its burst of 50", through)
	}
	if why := l.takeStranger(quiet, second); why != accepted {
		t.Errorf("the quiet one was dropped for %s", dropNames[why])
	}
}

func TestKnownSourcesFillTheirTableWithoutLoss(t *testing.T) {
	l := newLimiter(Limits{Known: 32768}.withDefaults())
	for i := range uint32(1024) { // so thinly filled that nine in one set is out of the question
		l.vouch(spoofed(i), 10*second)
	}
	for i := range uint32(1024) {
		if !l.isKnown(spoofed(i), second) {
			t.Errorf("source %d was forgotten", i)
		}
	}
}

func TestOffencesAreReportedOnceASecond(t *testing.T) {
	l := newLimiter(Limits{}.withDefaults())
	a := netip.MustParseAddr("203.0.113.1")
	var reports []int
	for i := range 21 {
		if w := l.offend(a, int64(i)*second/10); w > 0 {
			reports = append(reports, w)
		}
	}
	if len(reports) != 3 || reports[0] != 1 || reports[1] != 10 || reports[2] != 10 {
		t.Errorf("reports weigh %v, want 1, 10, 10", reports)
	}
}

func TestSourcesCountBySubnetOnlyInIPv6(t *testing.T) {
	same := func(a, b string) bool { return keyOf(netip.MustParseAddr(a)) == keyOf(netip.MustParseAddr(b)) }
	if !same("2001:db8::1", "2001:db8::ffff:1") || same("2001:db8::1", "2001:db8:0:1::1") {
		t.Error("IPv6 sources do not count by /64")
	}
	if same("192.0.2.1", "192.0.2.2") || keyOf(netip.IPv6Unspecified()) == 0 {
		t.Error("two IPv4 sources share a key, or a source has the key of none")
	}
}

func TestFloodFromManySourcesOverUDP(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	o.Limits.StrangerRate, o.Limits.StrangerBurst = 10, 20
	o.Limits.StrangersRate = 50
	reports := make(chan abuseReport, 1000)
	o.Abuse = func(a netip.Addr, reason string, weight int) { reports <- abuseReport{a, reason, weight} }
	s := start(t, o)
	to := at(t, s, UDP)
	phone := from(t, netip.MustParseAddr("127.1.0.1"), to)
	flow, err := s.UDP(netip.AddrPort{}, addrPort(phone.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	flow.Vouch(time.Now().Add(time.Hour))

	loud := from(t, netip.MustParseAddr("127.2.0.1"), to)
	for i := range 100 {
		loud.Write(request(i, 0))
	}
	expectDropped(t, s, UDP, dropSourceRate, 50)
	if r := <-reports; r.source.String() != "127.2.0.1" || r.reason != "flood" {
		t.Errorf("report = %+v, want a flood from 127.2.0.1", r)
	}
	for i := range 200 {
		c := from(t, netip.AddrFrom4([4]byte{127, 3, byte(i), 1}), to)
		c.Write(request(i, 0))
		c.Close()
	}
	expectDropped(t, s, UDP, dropStrangersRate, 50)
	for i := range 100 {
		roundTripUDP(t, phone, request(i, 0))
	}
}

func TestTrustedSourcesAreNotLimited(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	o.Limits.StrangerRate, o.Limits.StrangerBurst = 1, 1
	o.Trusted = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }
	s := start(t, o)
	c := dialUDP(t, at(t, s, UDP))
	for i := range 100 {
		roundTripUDP(t, c, request(i, 0))
	}
}

func TestGarbageIsReportedAndForgedGarbageIsNot(t *testing.T) {
	o := echoOptions("udp://127.0.0.1:0")
	reports := make(chan abuseReport, 10)
	o.Abuse = func(a netip.Addr, reason string, weight int) { reports <- abuseReport{a, reason, weight} }
	s := start(t, o)
	to := at(t, s, UDP)
	known := from(t, netip.MustParseAddr("127.1.0.1"), to)
	flow, err := s.UDP(netip.AddrPort{}, addrPort(known.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	flow.Vouch(time.Now().Add(time.Hour))
	known.Write([]byte("garbage in the name of a phone"))
	expectDropped(t, s, UDP, dropStartLine, 1)
	from(t, netip.MustParseAddr("127.1.0.2"), to).Write([]byte("garbage of a stranger"))
	if r := <-reports; r.source.String() != "127.1.0.2" || r.reason != "start_line" || r.weight != 1 {
		t.Errorf("report = %+v, want start_line from 127.1.0.2", r)
	}
}
