package secure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	handshakeFor = 30 * time.Second       // how long a handshake may take
	lingerFor    = 20 * time.Second       // how long afterwards a peer may ask again for our last message
	repeatAfter  = 200 * time.Millisecond // what was not answered is sent again, then after twice the time, and so on
	maxPeers     = 3                      // addresses that may shake hands with one guard at a time, one of which is the peer's
	shakeRate    = 5                      // handshakes a second that may begin with addresses that nobody announced
	shakeBurst   = 10
	fragment     = 1200 // bytes of a datagram with handshake messages
)

// First bytes of a DTLS record (RFC 6347 §4.1, §4.3.2).
const (
	recordHandshake     = 22
	recordHeader        = 13
	typeClientHello     = 1
	firstSTUN, lastSTUN = 0, 3 // of a datagram (RFC 7983 §7)
	firstDTLS, lastDTLS = 20, 63
)

// ErrNewAssociation says that terms differ so much that they want a guard of their own (RFC 8842 §4).
var ErrNewAssociation = errors.New("the terms want a new DTLS association")

// DTLS guards a leg with keys from a DTLS handshake with the peer (RFC 5763, RFC 5764), in which both show the certificates
// that their SDP announced. With ICE only an address that knows the password of the call is listened to; without, an
// address may try, [maxPeers] at a time, and the first one with the right certificate is the peer. A handshake that fails
// makes room for the next one.
type DTLS struct {
	identity *Identity
	outcome  func(error)     // told how each handshake ended
	ctx      context.Context // of the handshakes, which begin with datagrams and end with the guard
	cancel   context.CancelFunc
	running  sync.WaitGroup
	ice      *agent // nil: none
	audio    association
	control  association // of RTCP, where that has a port of its own
	apart    atomic.Bool // control has keys, so that RTCP is under those

	mu        sync.Mutex // guards all below, and associations but for their keys
	terms     Terms
	shown     []byte         // the peer's certificate, nil before there are keys
	announced netip.AddrPort // where the peer is by its SDP
	begins    bucket
	closed    bool
}

// bucket limits how often something may happen.
type bucket struct {
	tokens float64
	filled time.Time
}

// take tells whether it may happen now.
func (b *bucket) take(rate, burst float64, now time.Time) bool {
	b.tokens = min(burst, b.tokens+now.Sub(b.filled).Seconds()*rate) // full at first, since the zero time is long ago
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// association is what has keys of its own: each port of the peer's that is used (RFC 5764 §3).
type association struct {
	session session
	shakes  []*handshake // under way, or done and lingering
	done    bool         // the keys are there
}

// handshake is one that may become an association's.
type handshake struct {
	of   *association
	from netip.AddrPort // zero with ICE: the addresses that ICE admits are one peer
	wire *wire
}

// NewDTLS makes a guard. outcome, which may be nil, is told of each handshake from a goroutine of its own: nil when the
// keys are there.
func NewDTLS(identity *Identity, t Terms, outcome func(error)) (*DTLS, error) {
	if len(t.Fingerprints) == 0 {
		return nil, fmt.Errorf("DTLS without a=fingerprint: %w", ErrUnsupported)
	}
	if t.Setup != Active && t.Setup != Passive {
		return nil, fmt.Errorf("DTLS with a=setup:%.20s of ours: want active or passive", t.Setup)
	}
	if outcome == nil {
		outcome = func(error) {}
	}
	d := &DTLS{identity: identity, outcome: outcome, terms: t}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if t.ice() {
		d.ice = newAgent(t.Local, t.Remote)
	}
	return d, nil
}

// Agree takes the terms of a re-INVITE. The association goes on when certificate and role stay; ICE may start again. Else it
// says [ErrNewAssociation].
func (d *DTLS) Agree(t Terms) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.Setup != d.terms.Setup || t.ice() != d.terms.ice() || !d.samePeerLocked(t.Fingerprints) {
		return ErrNewAssociation
	}
	if t.ice() && (t.Local != d.terms.Local || t.Remote != d.terms.Remote) {
		d.ice.restart(t.Local, t.Remote)
	}
	d.terms = t
	return nil
}

// samePeerLocked tells whether fingerprints are of the peer that we know. There are phones that write the same one once in an
// offer and twice in the next, and others that hash anew.
func (d *DTLS) samePeerLocked(announced []Fingerprint) bool {
	if d.shown != nil {
		return verify(announced, [][]byte{d.shown}) == nil
	}
	return slices.ContainsFunc(announced, func(f Fingerprint) bool { return slices.Contains(d.terms.Fingerprints, f) })
}

// Begin tells where the peer is by its SDP, and starts the handshake with one without ICE, when that is up to us. With ICE
// it starts by itself, when the peer has nominated an address.
func (d *DTLS) Begin(to netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.announced = to
	if d.terms.Setup == Active && d.ice == nil && to.IsValid() {
		d.shakeLocked(&d.audio, to, to, reply)
	}
}

// HandleControl is Handle for what came to our port for RTCP: a peer that does not send RTCP on the port of RTP shakes hands
// twice. Such a peer has to begin.
func (d *DTLS) HandleControl(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	if len(b) > 0 && b[0] >= firstDTLS && b[0] <= lastDTLS && d.ice == nil { // our candidate of ICE is the port of RTP
		d.record(&d.control, b, from, reply)
	}
}

// Handle takes what is neither RTP nor RTCP. reply may be called before it returns, and as long as there are handshakes from
// other goroutines.
func (d *DTLS) Handle(b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	switch {
	case len(b) == 0:
	case b[0] >= firstSTUN && b[0] <= lastSTUN && d.ice != nil:
		if d.ice.handle(b, from, reply) {
			d.nominated(reply)
		}
	case b[0] >= firstDTLS && b[0] <= lastDTLS && (d.ice == nil || d.ice.admits(from)):
		d.record(&d.audio, b, from, reply)
	}
}

// nominated starts the handshake when it is up to us and there is an address for it.
func (d *DTLS) nominated(reply func([]byte, netip.AddrPort)) {
	to, _ := d.ice.peer()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.terms.Setup == Active && to.IsValid() {
		d.shakeLocked(&d.audio, netip.AddrPort{}, to, reply)
	}
}

// record gives a datagram to the handshake it belongs to, or lets it begin one.
func (d *DTLS) record(of *association, b []byte, from netip.AddrPort, reply func([]byte, netip.AddrPort)) {
	key := from
	if d.ice != nil {
		key = netip.AddrPort{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(of.shakes, func(h *handshake) bool { return h.from == key })
	if i < 0 && d.terms.Setup == Passive && isClientHello(b) {
		i = d.shakeLocked(of, key, from, reply)
	}
	if i >= 0 {
		of.shakes[i].wire.put(b, from, reply)
	}
}

// isClientHello tells whether a datagram begins a handshake.
func isClientHello(b []byte) bool {
	return len(b) > recordHeader && b[0] == recordHandshake && b[recordHeader] == typeClientHello
}

// shakeLocked starts a handshake and returns its index, -1 if there may be none now.
func (d *DTLS) shakeLocked(of *association, key, to netip.AddrPort, reply func([]byte, netip.AddrPort)) int {
	known := slices.ContainsFunc(of.shakes, func(h *handshake) bool { return h.from == key })
	if d.closed || of.done || known || len(of.shakes) >= maxPeers {
		return -1
	}
	if to != d.announced && !d.begins.take(shakeRate, shakeBurst, time.Now()) {
		return -1
	}
	select {
	case d.identity.slots <- struct{}{}:
	default:
		return -1
	}
	h := &handshake{of: of, from: key, wire: newWire(to, reply)}
	of.shakes = append(of.shakes, h)
	t := d.terms
	d.running.Go(func() { d.run(h, t) })
	return len(of.shakes) - 1
}

// Protect appends the packet, encrypted, to dst. packet may be dst[:0] made longer, and overlaps dst in no other way.
func (d *DTLS) Protect(dst, packet []byte, rtcp bool) ([]byte, error) {
	if d.ice != nil {
		if _, wanted := d.ice.peer(); !wanted {
			return dst, ErrConsent
		}
	}
	return d.keysOf(rtcp).out.protect(dst, packet, rtcp)
}

// Unprotect appends what a packet of the peer says to dst, or tells that it is none.
func (d *DTLS) Unprotect(dst, packet []byte, rtcp bool) ([]byte, error) {
	return d.keysOf(rtcp).in.unprotect(dst, packet, rtcp)
}

// keysOf are the keys of RTP or RTCP.
func (d *DTLS) keysOf(rtcp bool) *session {
	if rtcp && d.apart.Load() {
		return &d.control.session
	}
	return &d.audio.session
}

// Peer is the address that the peer nominated; zero without ICE, and before.
func (d *DTLS) Peer() netip.AddrPort {
	if d.ice == nil {
		return netip.AddrPort{}
	}
	to, _ := d.ice.peer()
	return to
}

// Close ends what is under way and forgets the keys. It does not wait for the goroutines, which end soon.
func (d *DTLS) Close() {
	d.mu.Lock()
	d.closed = true
	for _, h := range slices.Concat(d.audio.shakes, d.control.shakes) {
		h.wire.mute()
	}
	d.mu.Unlock()
	d.cancel()
	if d.ice != nil {
		d.ice.close()
	}
	d.audio.session.close()
	d.control.session.close()
}
