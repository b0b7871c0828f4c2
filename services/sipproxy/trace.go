package sipproxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/sipua/transport"
)

const (
	traceShards = 4
	traceChunk  = 128 << 10                    // bytes; room for the longest message
	minTrace    = 2 * traceShards * traceChunk // two chunks a shard: one is written while the other is remembered
	maxTrace    = 1 << 30
	traceHead   = 60 // bytes before each message, see put
)

// trace remembers the SIP messages of dialogs that passed, in a ring of bounded size: the oldest chunk makes room for the newest.
//
// It lies on the way of every message, so it only copies: bytes, time and addresses, under the lock of one of a few shards, which
// take turns. Who belongs to which call is found out by those who ask. Chunks are made as they are first needed,
// then used again; from then on nothing is allocated. A nil trace remembers nothing.
type trace struct {
	turn   atomic.Uint64 // messages put so far: the shard of the next, and their order when the clock does not tell it
	shards [traceShards]traceShard
}

type traceShard struct {
	mu     sync.Mutex
	chunks [][]byte // of traceChunk capacity, filled up to their length; nil = not made yet
	now    int      // the chunk being written; the next one is the oldest
	lost   bool     // a chunk has been written over
}

// newTrace returns a trace of that many bytes; 0 is none.
func newTrace(size int) *trace {
	if size <= 0 {
		return nil
	}
	t := &trace{}
	for i := range t.shards {
		t.shards[i].chunks = make([][]byte, max(size/traceShards/traceChunk, 2))
	}
	return t
}

// sent is transport.Options.Sent.
func (t *trace) sent(flow transport.Flow, b []byte, at time.Time) {
	if tracedBytes(b) {
		t.put(at, true, flow, b)
	}
}

// received takes a message that came, if its method is one that is traced.
func (t *trace) received(msg *transport.Message, method string) {
	if t != nil && traced(method) {
		t.put(msg.Received, false, msg.Flow, msg.Data)
	}
}

// traced tells whether messages of a method are remembered: those that belong to calls.
func traced(method string) bool {
	switch method {
	case "INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO":
		return true
	}
	return false
}

var (
	statusStart = []byte("SIP/2.0 ")
	cseqLine    = []byte("\nCSeq:")
)

// tracedBytes is traced for a message that nobody has scanned: cheap, and content with what is written as usual. A response
// whose CSeq it does not find is taken.
func tracedBytes(b []byte) bool {
	if !bytes.HasPrefix(b, statusStart) {
		method, _, _ := bytes.Cut(b[:min(len(b), 8)], []byte(" "))
		return traced(string(method))
	}
	at := bytes.Index(b, cseqLine)
	if at < 0 {
		return true
	}
	line := b[at+len(cseqLine):]
	if end := bytes.IndexByte(line, '\r'); end >= 0 {
		line = line[:end]
	}
	line = bytes.TrimRight(line, " ")
	return traced(string(line[bytes.LastIndexByte(line, ' ')+1:]))
}

// put copies a message into the ring. Before it stand, little endian: the length of both (4), turn (8), time (8), local
// and remote address (16 and 2 each), transport (1), sent (1), and two bytes of nothing.
func (t *trace) put(at time.Time, sent bool, flow transport.Flow, b []byte) {
	need := traceHead + len(b)
	if need > traceChunk {
		return
	}
	turn := t.turn.Add(1)
	s := &t.shards[turn%traceShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.room(need)
	binary.LittleEndian.PutUint32(rec[0:], uint32(need))
	binary.LittleEndian.PutUint64(rec[4:], turn)
	binary.LittleEndian.PutUint64(rec[12:], uint64(at.UnixNano()))
	putAddress(rec[20:], flow.Local())
	putAddress(rec[38:], flow.Remote())
	rec[56], rec[57] = transportCode(flow.Transport()), 0
	if sent {
		rec[57] = 1
	}
	copy(rec[traceHead:], b)
}

// room returns the next n bytes of the shard, writing over its oldest chunk when the present one is full.
func (s *traceShard) room(n int) []byte {
	c := s.chunks[s.now]
	if len(c)+n > traceChunk {
		s.now = (s.now + 1) % len(s.chunks)
		c = s.chunks[s.now]
		s.lost = s.lost || len(c) > 0
		c = c[:0]
	}
	if c == nil {
		c = make([]byte, 0, traceChunk)
	}
	c = c[:len(c)+n]
	s.chunks[s.now] = c
	return c[len(c)-n:]
}

func putAddress(dst []byte, a netip.AddrPort) {
	ip := a.Addr().As16()
	copy(dst, ip[:])
	binary.LittleEndian.PutUint16(dst[16:], a.Port())
}

func address(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.LittleEndian.Uint16(b[16:]))
}

// tracedTransports are transports by their code.
var tracedTransports = [...]transport.Transport{transport.UDP, transport.TCP, transport.TLS, transport.WS, transport.WSS}

func transportCode(t transport.Transport) byte {
	for i, known := range tracedTransports {
		if t == known {
			return byte(i)
		}
	}
	return 0
}

// traceRecord is one message in the ring; its bytes are the ring's.
type traceRecord struct {
	turn          uint64
	at            time.Time
	local, remote netip.AddrPort
	transport     transport.Transport
	sent          bool
	data          []byte
}

func readRecord(b []byte) traceRecord {
	return traceRecord{
		turn: binary.LittleEndian.Uint64(b[4:]), at: time.Unix(0, int64(binary.LittleEndian.Uint64(b[12:]))).UTC(),
		local: address(b[20:]), remote: address(b[38:]), transport: tracedTransports[b[56]], sent: b[57] == 1, data: b[traceHead:],
	}
}

// each calls fn for every message that holds one of the texts, shard by shard, with the shard locked: fn copies what it keeps, and
// returns false to end. It reports whether the ring has written over earlier messages.
func (t *trace) each(texts [][]byte, fn func(traceRecord) bool) (lost bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		lost = lost || s.lost
		goOn := s.each(texts, fn)
		s.mu.Unlock()
		if !goOn {
			break
		}
	}
	return lost
}

func (s *traceShard) each(texts [][]byte, fn func(traceRecord) bool) bool {
	for _, chunk := range s.chunks {
		for rest := chunk; len(rest) > 0; {
			n := binary.LittleEndian.Uint32(rest)
			rec := rest[:n:n]
			rest = rest[n:]
			for _, text := range texts {
				if bytes.Contains(rec[traceHead:], text) {
					if !fn(readRecord(rec)) {
						return false
					}
					break
				}
			}
		}
	}
	return true
}
