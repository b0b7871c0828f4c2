package registrar

import (
	"strconv"
	"sync/atomic"
	"time"

	"parley/internal/contract"
)

// reply collects the headers of an answer in one buffer, so that they cost two allocations however many they are.
type reply struct {
	buf   []byte
	names []string
	ends  []int
}

func (r *reply) reset() {
	r.buf, r.names, r.ends = r.buf[:0], r.names[:0], r.ends[:0]
}

// end closes the value that was appended to r.buf as a header of that name.
func (r *reply) end(name string) {
	r.names = append(r.names, name)
	r.ends = append(r.ends, len(r.buf))
}

func (r *reply) add(name, value string) {
	r.buf = append(r.buf, value...)
	r.end(name)
}

// done makes the answer.
func (r *reply) done(status int, reason string) *contract.RegisterResponse {
	resp := &contract.RegisterResponse{Status: status, Reason: reason}
	if len(r.names) == 0 {
		return resp
	}
	text, from := string(r.buf), 0
	resp.Headers = make([]contract.Header, len(r.names))
	for i, name := range r.names {
		resp.Headers[i] = contract.Header{Name: name, Value: text[from:r.ends[i]]}
		from = r.ends[i]
	}
	return resp
}

// contact adds a binding as a Contact header with the time it has left (RFC 3261 §10.3 step 8).
func (r *reply) contact(b *binding, nowMS int64) {
	r.buf = append(r.buf, '<')
	r.buf = append(r.buf, b.contact...)
	r.buf = append(r.buf, ">;expires="...)
	r.buf = strconv.AppendInt(r.buf, (b.expires-nowMS+999)/1000, 10)
	if b.q != 1000 {
		r.buf = append(r.buf, ";q=0."...)
		r.buf = append(r.buf, byte('0'+b.q/100), byte('0'+b.q/10%10), byte('0'+b.q%10))
	}
	if b.instance != "" {
		r.buf = append(r.buf, `;+sip.instance="`...)
		r.buf = append(r.buf, b.instance...)
		r.buf = append(r.buf, '"')
	}
	if b.regID != 0 {
		r.buf = append(r.buf, ";reg-id="...)
		r.buf = strconv.AppendUint(r.buf, uint64(b.regID), 10)
	}
	r.end("Contact")
}

// dateCache renders a Date header once a second.
type dateCache struct{ last atomic.Pointer[dateText] }

type dateText struct {
	second int64
	text   string
}

// at returns the time as RFC 3261 §20.17 wants it, e.g. "Sat, 13 Nov 2010 23:29:00 GMT".
func (c *dateCache) at(t time.Time) string {
	if d := c.last.Load(); d != nil && d.second == t.Unix() {
		return d.text
	}
	d := &dateText{t.Unix(), t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	c.last.Store(d)
	return d.text
}
