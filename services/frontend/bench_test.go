package frontend

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// BenchmarkRequest is a request about a call over REST, from the client and back, by a SIP node on a connection of its own that
// answers at once. p99 is that of all requests of a run.
func BenchmarkRequest(b *testing.B) {
	r := start(b, nil)
	n := r.node("a", 0, false)
	n.answers(func(*voice.Request) (*contract.RequestAnswer, error) { return &contract.RequestAnswer{}, nil })
	r.state.set(call("a", "c1", "1001"))
	body := []byte(`{"request":"RequestHoldCall","ThisDN":"1001","ConnID":"c1","ReferenceID":1}`)
	took := make([]time.Duration, 0, 1<<14)
	for b.Loop() {
		began := time.Now()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, r.url+"/api/v1/tenants/demo/requests", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer boss")
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		res.Body.Close()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkFanOut is one event into the ring and out to a hundred clients, of which one in ten wants it.
func BenchmarkFanOut(b *testing.B) {
	h := newHub(8192, nil)
	for src := range source(sources) {
		h.begin(src, 0)
	}
	var wg sync.WaitGroup
	var cursors []*cursor
	for i := range 100 {
		f := filter{tenant: "demo", scope: scope{whole: true}, dns: []string{string(rune('0' + i%10))}}
		c := newCursor(f, [2]string{"demo", "boss"})
		h.joinNow(c)
		cursors = append(cursors, c)
		wg.Go(func() {
			buf := make([]event, 0, takeMost)
			for range c.poke {
				for more := true; more; {
					buf, _, more, _ = h.take(c, buf)
				}
			}
		})
	}
	m := fabric.Message{Subject: []string{"call", "demo", "u", "EventRinging"}, Data: []byte(`{"id":"EventRinging","Server":"sip","ThisDN":"3","ConnID":"c1","CallUUID":"u","CallThreadID":"t","tenant":"demo","seq":3}`)}
	for b.Loop() {
		m.Seq++
		h.add(fromCalls, m)
	}
	for _, c := range cursors {
		h.leave(c)
		close(c.poke)
	}
	wg.Wait()
}
