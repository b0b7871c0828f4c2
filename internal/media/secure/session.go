package secure

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// Why a packet cannot be protected, or is not what it should be.
var (
	ErrNoKeys    = errors.New("there are no keys yet")
	ErrMalformed = errors.New("not a packet of SRTP or SRTCP")
	ErrForged    = errors.New("not protected by the key that was agreed on, or repeated")
	ErrSources   = errors.New("too many sources under one key")
	ErrRepeated  = errors.New("a packet with this number was sent before, or is long overtaken")
)

const (
	replayWindow = 128 // packets of a source that may be overtaken; RFC 3711 §3.3.2 wants 64 at least
	maxSources   = 64  // SSRCs under one key of the peer. A phone takes a new one a re-INVITE at most
	maxOwn       = 8   // SSRCs of ours under one key; a leg has one
	sendWindow   = 64  // packets of ours that may be overtaken before they are sent
	minRTP       = 12  // bytes of the smallest packets
	minRTCP      = 8
	expansion    = 32 + maxMKILength // more than protection adds to any packet
)

// session protects what a leg sends and opens what it receives. The zero session has no keys.
type session struct {
	out sender
	in  receiver
}

// sender is the direction towards the peer.
type sender struct {
	mu     sync.Mutex // guards all below
	key    Crypto
	ctx    *srtp.Context // nil: no key
	header headers
	sent   []window // of each SSRC of ours
}

// window remembers which packets of one SSRC were sent under a key.
type window struct {
	ssrc uint32
	top  uint16 // highest sequence number so far
	mask uint64 // bit n: top-n was sent
}

// receiver is the direction from the peer.
type receiver struct {
	mu      sync.Mutex // guards all below
	key     Crypto
	ctx     *srtp.Context // nil: no key
	former  *srtp.Context // of the key before, until the new one is used; nil: none
	header  headers
	sources []uint32 // SSRCs that proved to be the peer's, of either context
}

// headers are kept, so that no packet has to make any.
type headers struct {
	rtp  rtp.Header
	rtcp rtcp.Header
}

// newContext makes a context of a key. What is received is checked for replays.
func newContext(c Crypto) (*srtp.Context, error) {
	opts := []srtp.ContextOption{srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow)}
	if c.mki != "" {
		opts = append(opts, srtp.MasterKeyIndicator([]byte(c.mki)))
	}
	return srtp.CreateContext(c.Key.master(), c.Key.salt(), c.Suite.profile(), opts...)
}

// agree sets the keys of both directions. One that stays keeps its rollover counters.
func (s *session) agree(local, remote Crypto) error {
	if err := s.out.agree(local); err != nil {
		return err
	}
	return s.in.agree(remote)
}

func (s *session) close() {
	s.out.mu.Lock()
	s.out.ctx, s.out.sent = nil, nil
	s.out.key.Key.Wipe()
	s.out.mu.Unlock()
	s.in.mu.Lock()
	s.in.ctx, s.in.former, s.in.sources = nil, nil, nil
	s.in.key.Key.Wipe()
	s.in.mu.Unlock()
}

func (d *sender) agree(c Crypto) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx != nil && d.key.same(c) {
		return nil
	}
	ctx, err := newContext(c)
	if err != nil {
		return err
	}
	d.ctx, d.key, d.sent = ctx, c, nil
	return nil
}

// first tells whether a packet of RTP has a number that was not sent before, and notes it. What is passed on has the
// numbers of another peer, and two packets of one number under one key would give the key stream away, and with GCM the
// means to forge (RFC 3711 §9.1, RFC 7714 §5).
func (d *sender) first(packet []byte) error {
	ssrc, seq := binary.BigEndian.Uint32(packet[ssrcAt(false):]), binary.BigEndian.Uint16(packet[2:])
	i := slices.IndexFunc(d.sent, func(w window) bool { return w.ssrc == ssrc })
	if i < 0 {
		if len(d.sent) == maxOwn {
			return ErrSources
		}
		d.sent = append(d.sent, window{ssrc: ssrc, top: seq, mask: 1})
		return nil
	}
	w := &d.sent[i]
	switch ahead := int16(seq - w.top); {
	case ahead > 0:
		w.top, w.mask = seq, w.mask<<ahead|1
	case ahead <= -sendWindow || w.mask&(1<<-ahead) != 0:
		return ErrRepeated
	default:
		w.mask |= 1 << -ahead
	}
	return nil
}

// agree takes a new key of the peer. The peer learns that we have it when it gets our answer, and until then, and a
// little longer, its packets are under the former one (RFC 4568 §7.1.4).
func (d *receiver) agree(c Crypto) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx != nil && d.key.same(c) {
		return nil
	}
	ctx, err := newContext(c)
	if err != nil {
		return err
	}
	d.former, d.ctx, d.key = d.ctx, ctx, c
	d.sources = nil
	return nil
}

// protect appends the packet, encrypted, to dst.
func (d *sender) protect(dst, packet []byte, rtcp bool) (_ []byte, err error) {
	if rtcp && len(packet) < minRTCP || !rtcp && len(packet) < minRTP {
		return dst, ErrMalformed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return dst, ErrNoKeys
	}
	n := len(dst)
	dst = slices.Grow(dst, len(packet)+expansion) // or pion would make a buffer of its own
	var out []byte
	if rtcp {
		out, err = d.ctx.EncryptRTCP(dst[n:], packet, &d.header.rtcp)
	} else if err = d.first(packet); err == nil {
		out, err = d.ctx.EncryptRTP(dst[n:], packet, &d.header.rtp)
	}
	if err != nil {
		return dst, err
	}
	return dst[:n+len(out)], nil
}

// unprotect appends what the peer's packet says to dst.
func (d *receiver) unprotect(dst, packet []byte, rtcp bool) ([]byte, error) {
	if rtcp && len(packet) < minRTCP || !rtcp && len(packet) < minRTP {
		return dst, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[ssrcAt(rtcp):])
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return dst, ErrNoKeys
	}
	known := slices.Contains(d.sources, ssrc)
	if !known && len(d.sources) == maxSources {
		return dst, ErrSources
	}
	n := len(dst)
	dst = slices.Grow(dst, len(packet))
	out, err := d.open(d.ctx, dst[n:], packet, rtcp)
	if err == nil {
		d.former = nil
	} else if d.former != nil {
		out, err = d.open(d.former, dst[n:], packet, rtcp)
	}
	if err != nil {
		return dst, ErrForged // which of its reasons makes no difference, and a stranger's packet shall cost no message
	}
	if !known {
		d.sources = append(d.sources, ssrc)
	}
	return dst[:n+len(out)], nil
}

func (d *receiver) open(ctx *srtp.Context, dst, packet []byte, rtcp bool) ([]byte, error) {
	if rtcp {
		return ctx.DecryptRTCP(dst, packet, &d.header.rtcp)
	}
	return ctx.DecryptRTP(dst, packet, &d.header.rtp)
}

// ssrcAt is where a packet has the SSRC of its sender.
func ssrcAt(rtcp bool) int {
	if rtcp {
		return 4
	}
	return 8
}
