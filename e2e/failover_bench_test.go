package e2e

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/e2e/phone"
	"parley/internal/voice"
)

const (
	benchStanding = 200                   // calls with audio both ways when the node is killed
	benchRate     = 20                    // new calls a second, before and after
	benchHold     = 2 * time.Second       // that one of those lasts
	benchBefore   = 3 * time.Second       // from the first of them to the kill
	benchAfter    = 10 * time.Second      // from the kill to the last
	benchPacket   = 50 * time.Millisecond // between two packets of a phone; what a gap is measured with
)

// BenchmarkFailover kills a node that has its share of 200 standing calls, while 20 new ones a second arrive. Gaps are the longest silence
// that each phone of a standing call of the dead node heard. The books are checked afterwards: an event lost or doubled, or a
// record missing, fails the run.
func BenchmarkFailover(b *testing.B) {
	for b.Loop() {
		failover(b)
	}
}

func failover(b *testing.B) {
	first, second := pair(b, "media: {ports: 21000-28999}\n")
	var phones []*phone.Agent
	for n := 1001; n <= 1008; n++ {
		phones = append(phones, agent(b, first, strconv.Itoa(n), "udp"))
	}
	standing := make([]*talk, benchStanding)
	for i := range standing {
		standing[i] = connect(b, phones[i%4], phones[4+i%4])
	}
	stop := make(chan struct{})
	var speakers sync.WaitGroup
	for _, k := range standing {
		speakers.Go(func() { k.speak(stop) })
	}
	var failed, made atomic.Int64
	var arriving sync.WaitGroup
	arrivals := make(chan struct{})
	for _, callee := range phones[4:] {
		arriving.Go(func() { takeAll(callee, b, arrivals) })
	}
	var callers sync.WaitGroup
	killed := time.Time{}
	tick := time.NewTicker(time.Second / benchRate)
	atSecond := 0
	for begin := time.Now(); killed.IsZero() || time.Since(killed) < benchAfter; {
		<-tick.C
		i := int(made.Add(1))
		callers.Go(func() {
			c := phones[i%4].Dial(phones[4+i%4].Number(), phone.OpenAudio(b).Offer("sendrecv"))
			if c.Final(40*time.Second) != 200 {
				failed.Add(1)
				return
			}
			time.Sleep(benchHold)
			if c.Bye() != nil {
				failed.Add(1)
			}
		})
		if killed.IsZero() && time.Since(begin) > benchBefore {
			s, err := second.askStatus()
			if err != nil {
				b.Fatal(err)
			}
			atSecond = s.Calls
			second.proc.Kill()
			killed = time.Now()
		}
	}
	tick.Stop()
	callers.Wait()
	close(stop)
	speakers.Wait()
	var gaps []time.Duration
	lost := 0
	for _, k := range standing {
		for _, a := range []*phone.Audio{k.caller, k.callee} {
			gap, whole := gapOf(a, killed)
			if !whole {
				lost++
			}
			gaps = append(gaps, gap)
		}
		if err := k.out.Bye(); err != nil {
			lost++
		}
	}
	close(arrivals)
	arriving.Wait()
	slices.Sort(gaps)
	gaps = gaps[len(gaps)-2*moved(b, first):] // those of calls that moved are the longest
	if len(gaps) > 0 {
		b.ReportMetric(gaps[len(gaps)/2].Seconds(), "gap-p50-s")
		b.ReportMetric(gaps[len(gaps)*99/100].Seconds(), "gap-p99-s")
	}
	b.ReportMetric(float64(atSecond), "calls-at-dead-node")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(failed.Load()), "setups-failed")
	b.ReportMetric(float64(made.Load()), "setups")
	rs := records(b, first, benchStanding+int(made.Load()))
	missing := 0
	for _, r := range rs {
		if r.Outcome != voice.OutcomeAnswered {
			missing++
		}
	}
	b.ReportMetric(float64(missing), "records-not-answered")
	balanced(b, first, "a")
}

// moved is how many of the standing calls the surviving node took over, at most.
func moved(b *testing.B, p *platform) int {
	b.Helper()
	n := metricOf(b, scrape(b, p, "sip"), "sipnode_redis_restored_calls_total")
	return min(n, benchStanding)
}

// takeAll answers every call that comes until done.
func takeAll(a *phone.Agent, b *testing.B, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case in := <-a.Incoming:
			in.Ring()
			_ = in.Answer(phone.OpenAudio(b).Offer("sendrecv")) // a call that its node took along comes again
		}
	}
}

// speak has both sides say something to where they were told last.
func (k *talk) speak(stop chan struct{}) {
	tick := time.NewTicker(benchPacket)
	defer tick.Stop()
	frame := make([]byte, 400)
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for _, way := range []struct {
			from *phone.Audio
			call *phone.Call
		}{{k.caller, k.out}, {k.callee, k.in}} {
			if rtp, _, err := phone.Ends(way.call.SDP()); err == nil {
				way.from.Say(rtp, frame)
			}
		}
	}
}

// gapOf is the longest silence after the kill; whole tells whether it ended.
func gapOf(a *phone.Audio, killed time.Time) (gap time.Duration, whole bool) {
	last := killed
	for _, p := range a.Got() {
		if p.At.Before(killed) {
			last = killed
			continue
		}
		gap = max(gap, p.At.Sub(last))
		last = p.At
	}
	return gap, last.Sub(killed) > benchAfter/2
}

// metricOf reads a metric without labels.
func metricOf(b *testing.B, metrics, name string) int {
	b.Helper()
	for line := range strings.SplitSeq(metrics, "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.Atoi(rest)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("there is no metric %s", name)
	return 0
}
