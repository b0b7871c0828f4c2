package fabric

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"parley/internal/voice"
)

// ackSweep is how often acknowledgements that never came are looked for.
const ackSweep = 250 * time.Millisecond

// acks sends messages to streams and tells each sender of the acknowledgement, on one inbox for all.
// At most cap(sem) messages are under way; send blocks beyond that.
type acks struct {
	nc     *nats.Conn
	prefix string // inbox with its last dot
	sub    *nats.Subscription
	sem    chan struct{}

	mu     sync.Mutex // guards what follows
	slots  []ackSlot
	free   []uint32
	timer  *time.Timer
	closed bool
}

// ackSlot is one message under way. gen tells a late acknowledgement of the slot's former user from the present one's.
type ackSlot struct {
	gen      uint32
	deadline int64 // Unix nanoseconds; 0 = slot is free
	done     func(seq uint64, err error)
}

func newAcks(nc *nats.Conn, window int) (*acks, error) {
	a := &acks{nc: nc, prefix: nats.NewInbox() + ".", sem: make(chan struct{}, window)}
	a.timer = time.AfterFunc(time.Hour, a.sweep)
	a.timer.Stop()
	sub, err := nc.Subscribe(a.prefix+"*", a.onAck)
	if err != nil {
		return nil, err
	}
	// Never more than cap(sem) answers can be waiting, so the limit is only there against what is not ours.
	if err := sub.SetPendingLimits(2*window+1024, -1); err != nil {
		return nil, err
	}
	a.sub = sub
	return a, nil
}

// send publishes m and calls done once: with the stream's sequence, or with an error; done runs on a goroutine of
// the fabric and must not block. Only when send itself returns an error, done is not called. While too many messages are
// under way it waits, until giveUp is closed; nil means for ever, which is not long: each ends within its timeout.
func (a *acks) send(giveUp <-chan struct{}, m *nats.Msg, timeout time.Duration, done func(seq uint64, err error)) error {
	select {
	case a.sem <- struct{}{}:
	default:
		select {
		case a.sem <- struct{}{}:
		case <-giveUp:
			return errCrowded
		}
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		<-a.sem
		return errClosed
	}
	var i uint32
	if n := len(a.free); n > 0 {
		i = a.free[n-1]
		a.free = a.free[:n-1]
	} else {
		i = uint32(len(a.slots))
		a.slots = append(a.slots, ackSlot{})
	}
	if len(a.free)+1 == len(a.slots) { // the first under way
		a.timer.Reset(ackSweep)
	}
	s := &a.slots[i]
	s.deadline = time.Now().Add(timeout).UnixNano()
	s.done = done
	id := uint64(s.gen)<<32 | uint64(i)
	a.mu.Unlock()

	var buf [64]byte
	m.Reply = string(strconv.AppendUint(append(buf[:0], a.prefix...), id, 36))
	if err := a.nc.PublishMsg(m); err != nil {
		if a.take(id) != nil {
			<-a.sem
			return publishError(err)
		}
	}
	return nil
}

// take ends the slot of id and returns its done, or nil when it has ended before.
func (a *acks) take(id uint64) func(uint64, error) {
	i, gen := uint32(id), uint32(id>>32)
	a.mu.Lock()
	defer a.mu.Unlock()
	if int(i) >= len(a.slots) || a.slots[i].gen != gen || a.slots[i].deadline == 0 {
		return nil
	}
	return a.endLocked(i)
}

func (a *acks) endLocked(i uint32) func(uint64, error) {
	s := &a.slots[i]
	done := s.done
	s.gen++
	s.deadline, s.done = 0, nil
	a.free = append(a.free, i)
	return done
}

func (a *acks) onAck(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, a.prefix), 36, 64)
	if err != nil {
		return
	}
	done := a.take(id)
	if done == nil {
		return
	}
	<-a.sem
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		done(0, errNoStream)
		return
	}
	done(parseAck(m.Data))
}

// sweep ends what waited too long, and comes back while anything waits.
func (a *acks) sweep() {
	a.end(time.Now().UnixNano(), errNoAck)
}

// failAll ends everything under way: the connection it went over is gone, and whether it arrived is unknown.
func (a *acks) failAll(err error) { a.end(1<<62, err) }

func (a *acks) end(before int64, err error) {
	var ended []func(uint64, error)
	a.mu.Lock()
	for i := range a.slots {
		if d := a.slots[i].deadline; d != 0 && d < before {
			ended = append(ended, a.endLocked(uint32(i)))
		}
	}
	if len(a.free) < len(a.slots) && !a.closed {
		a.timer.Reset(ackSweep)
	}
	a.mu.Unlock()
	for _, done := range ended {
		<-a.sem
		done(0, err)
	}
}

func (a *acks) close() {
	a.mu.Lock()
	a.closed = true
	a.timer.Stop()
	a.mu.Unlock()
	a.failAll(errClosed)
}

// parseAck reads {"stream":"S","seq":7} and its like. The common form is read without a JSON decoder: it comes
// with every put.
func parseAck(data []byte) (uint64, error) {
	if !bytes.Contains(data, []byte(`"error"`)) {
		if i := bytes.Index(data, []byte(`"seq":`)); i >= 0 {
			var seq uint64
			rest := bytes.TrimLeft(data[i+len(`"seq":`):], " ")
			for _, c := range rest {
				if c < '0' || c > '9' {
					break
				}
				seq = seq*10 + uint64(c-'0')
			}
			if seq > 0 {
				return seq, nil
			}
		}
	}
	var ack struct {
		Seq   uint64    `json:"seq"`
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, voice.Errorf(voice.ErrInternal, "acknowledgement not understood: %v", err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	if ack.Seq == 0 {
		return 0, voice.Errorf(voice.ErrInternal, "acknowledgement without a sequence")
	}
	return ack.Seq, nil
}

// apiError is an error of the JetStream.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error codes of the JetStream (nats-server, server/errors.json).
const (
	jsWrongLastSequence         = 10071
	jsWrongLastSequenceConstant = 10164
	jsMessageNotFound           = 10037
	jsMessageTooLarge           = 10054
	jsNoPeers                   = 10005
	jsNotAvailable              = 10008
	jsNotLeader                 = 10009
	jsInsufficient              = 10023
	jsStreamOffline             = 10118
	jsStreamOfflineReason       = 10194
)

func (e *apiError) Error() string { return fmt.Sprintf("jetstream: %s (%d)", e.Description, e.ErrCode) }

// Unwrap gives the sentinel a caller can act on.
func (e *apiError) Unwrap() error {
	switch e.ErrCode {
	case jsWrongLastSequence, jsWrongLastSequenceConstant:
		return voice.ErrConflict
	case jsMessageTooLarge:
		return voice.ErrInvalid
	case jsMessageNotFound:
		return voice.ErrNotFound
	}
	if e.Code == 404 {
		return voice.ErrNotFound
	}
	return voice.ErrUnavailable
}
