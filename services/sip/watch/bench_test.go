package watch

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/sipua/object"
	"parley/internal/voice"
)

// crowd is a World with many who watch one number, and answer at once.
type crowd struct{ bytes int }

func (c *crowd) Notify(req *sip.Request, _ func(*sip.Response, error)) error {
	c.bytes += len(object.Bytes(req))
	return nil
}
func (c *crowd) Bindings(_, _ string, on func([]contract.Binding, error)) { on(nil, nil) }
func (c *crowd) Route(*contract.Binding) string                           { return "" }
func (c *crowd) Calls(_, _ string, on func([]voice.Call, error))          { on(nil, voice.ErrUnavailable) }
func (c *crowd) Exists(string, string) bool                               { return true }
func (c *crowd) Contact() string                                          { return "<sip:watch@192.0.2.5>" }

// BenchmarkFanOut is what it costs to tell watchers of one number that it rings, and that it does no more: all but the sending.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			limits := DefaultLimits()
			limits.Interval = 0
			c := &crowd{}
			w := New(Options{World: c, Limits: limits, Escape: func(u string) string { return u }, Registry: prometheus.NewRegistry()})
			for i := range n {
				m, err := sip.ParseMessage(fmt.Appendf(nil, "SUBSCRIBE sip:1002@demo.local SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\n"+
					"Record-Route: <sip:flow1@n1;lr>\r\nFrom: <sip:%d@demo.local>;tag=phone\r\nTo: <sip:1002@demo.local>\r\nCall-ID: sub-%d\r\nEvent: dialog\r\n"+
					"Expires: 600\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:x@192.0.2.9:5060>\r\nContent-Length: 0\r\n\r\n", 2000+i, i))
				if err != nil {
					b.Fatal(err)
				}
				w.Subscribe(m.(*sip.Request), Subscriber{"demo", strconv.Itoa(2000 + i), "demo.local"}, "1002", func(*sip.Response) {})
			}
			subs := w.all()
			free := func() { // their phones have answered
				for _, s := range subs {
					s.inFlight = false
				}
			}
			b.Cleanup(func() {
				for _, s := range subs {
					s.halt()
				}
			})
			free()
			b.ReportAllocs()
			c.bytes = 0
			for b.Loop() {
				w.hear("demo", &event{ID: voice.EventRinging, ThisDN: "1002", OtherDN: "1003", ConnID: "0123456789abcdef"})
				free()
				w.hear("demo", &event{ID: voice.EventReleased, ThisDN: "1002", OtherDN: "1003", ConnID: "0123456789abcdef"})
				free()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*n*b.N), "ns/notify")
			b.ReportMetric(float64(c.bytes)/float64(2*n*b.N), "B/notify")
		})
	}
}
