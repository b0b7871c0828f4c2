package impair

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFateIsOfTheSeedAlone(t *testing.T) {
	b := Bad{Seed: 7, Loss: 0.1, Duplicate: 0.1, Reorder: 0.2, Delay: 20 * time.Millisecond, Late: 50 * time.Millisecond}
	other := b
	other.Seed = 8
	same := 0
	for n := range uint64(1000) {
		first := b.Fate(3, ToPeer, n)
		if again := b.Fate(3, ToPeer, n); !slices.Equal(first, again) {
			t.Fatalf("datagram %d: %v, then %v", n, first, again)
		}
		if slices.Equal(first, other.Fate(3, ToPeer, n)) {
			same++
		}
	}
	if same > 100 { // losses agree by chance
		t.Errorf("%d of 1000 fates are those of another seed", same)
	}
}

func TestFatesAreAsBadAsWanted(t *testing.T) {
	const n = 20_000
	b := Bad{Seed: 1, Loss: 0.1, Duplicate: 0.05, Reorder: 0.2, Late: time.Second}
	var lost, doubled, late, copies float64
	for i := range uint64(n) {
		fate := b.Fate(0, ToServer, i)
		switch len(fate) {
		case 0:
			lost++
		case 2:
			doubled++
		}
		for _, d := range fate {
			copies++
			if d >= time.Second {
				late++
			}
		}
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"lost": {lost / n, 0.1}, "doubled": {doubled / (n - lost), 0.05}, "late": {late / copies, 0.2},
	} {
		if math.Abs(c.got-c.want) > 0.01 {
			t.Errorf("%s: %.3f, want %.3f", name, c.got, c.want)
		}
	}
	if fate := (Bad{}).Fate(0, ToServer, 0); !slices.Equal(fate, []time.Duration{0}) {
		t.Errorf("a good network does %v", fate)
	}
}

// Losses in runs are as many as single ones, and each run is lost as a whole.
func TestLossesInRuns(t *testing.T) {
	const n, run = 30_000, 5
	b := Bad{Seed: 3, Loss: 0.06, Burst: run}
	lost := 0
	for i := 0; i < n; i += run {
		gone := 0
		for j := range run {
			if len(b.Fate(1, ToServer, uint64(i+j))) == 0 {
				gone++
			}
		}
		if gone != 0 && gone != run {
			t.Fatalf("%d of the %d datagrams from %d are lost", gone, run, i)
		}
		lost += gone
	}
	if got := float64(lost) / n; math.Abs(got-0.06) > 0.01 {
		t.Errorf("%.3f lost, want 0.06", got)
	}
}

func TestASlowClock(t *testing.T) {
	b := Bad{Drift: 300 * time.Microsecond}
	for _, n := range []uint64{0, 1, 1000} {
		if fate := b.Fate(0, ToServer, n); !slices.Equal(fate, []time.Duration{time.Duration(n) * b.Drift}) {
			t.Errorf("datagram %d arrives after %v", n, fate)
		}
	}
}

// echo is a server that sends everything back.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// through sends n numbered datagrams through a relay to an echo, and returns what came back, in order, until all that can come has.
func through(t *testing.T, bad Bad, n int) (got []int, r *Relay) {
	t.Helper()
	r, err := Start(echo(t), bad)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	c, err := net.Dial("udp", r.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := 0 // copies that come back: each that reaches the echo is one datagram of the way back
	back := uint64(0)
	for i := range uint64(n) {
		for range bad.Fate(0, ToServer, i) {
			want += len(bad.Fate(0, ToPeer, back))
			back++
		}
	}
	for i := range n {
		if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	for len(got) < want {
		if _, err := c.Read(buf); err != nil {
			t.Fatalf("%d of %d came back: %v", len(got), want, err)
		}
		got = append(got, int(binary.BigEndian.Uint32(buf)))
	}
	return got, r
}

func TestAGoodNetworkKeepsEverythingInOrder(t *testing.T) {
	got, _ := through(t, Bad{Seed: 1}, 100)
	if len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("got %v", got)
	}
}

func TestABadNetworkLosesDoublesAndReorders(t *testing.T) {
	bad := Bad{Seed: 5, Loss: 0.1, Duplicate: 0.1, Reorder: 0.2, Delay: 2 * time.Millisecond, Late: 20 * time.Millisecond}
	got, r := through(t, bad, 200)
	sent, lost, doubled := r.Counts(ToServer)
	if sent != 200 || lost == 0 || doubled == 0 || lost > 40 || doubled > 40 {
		t.Errorf("to the server: %d sent, %d lost, %d doubled", sent, lost, doubled)
	}
	if back, lost, _ := r.Counts(ToPeer); back != sent-lostOf(r)+doubled || lost == 0 {
		t.Errorf("to the peer: %d sent, %d lost", back, lost)
	}
	if slices.IsSorted(got) {
		t.Error("nothing was overtaken")
	}
	seen := map[int]int{}
	for _, n := range got {
		seen[n]++
	}
	if len(seen) == 200 || len(seen) == len(got) {
		t.Errorf("%d of 200 came, %d times altogether; want losses and duplicates", len(seen), len(got))
	}
}

func lostOf(r *Relay) uint64 {
	_, lost, _ := r.Counts(ToServer)
	return lost
}
