package sipproxy

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/sipua/object"
	"parley/internal/sipua/txn"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

// localTx is a request at the SIP node of this process. Respond and Done are for any goroutine, the rest for the
// shard's.
type localTx struct {
	b         *branch
	shard     *txn.Shard
	once      sync.Once
	done      chan struct{}
	cancelled bool
}

// toLocal gives the request to the node in this process: no socket, no Via of ours.
func (b *branch) toLocal() {
	f := b.f
	b.local = &localTx{b: b, shard: f.shard, done: make(chan struct{})}
	if !f.s.deliverLocal(f.compose(nil, hop{node: b.node}), b.local) {
		b.end()
		f.fail(400)
	}
}

// deliverLocal makes sipgo's request of the bytes and calls the node; false says that sipgo cannot read it.
func (s *Service) deliverLocal(request []byte, tx *localTx) bool {
	var m wire.Message
	if wire.Scan(&m, request) != nil {
		return false
	}
	req, err := object.Request(&m)
	if err != nil {
		s.log.Debug("request for the SIP node", slog.Any("err", err))
		return false
	}
	if s.node == nil {
		return false
	}
	if tx == nil {
		s.node.ServeSIP(req, nil)
		return true
	}
	s.node.ServeSIP(req, tx)
	return true
}

// Respond implements sipua.ServerTx.
func (tx *localTx) Respond(res *sip.Response) {
	b, status := object.Bytes(res), res.StatusCode
	tx.shard.Do(func() {
		br := tx.b
		if !br.done {
			br.response(status, b)
		} else if status/100 == 2 && br.f.invite { // a repetition, or one that crossed with our end
			br.f.count(br)
			_ = br.f.up.Respond(status, b)
		}
	})
}

// Done implements sipua.ServerTx.
func (tx *localTx) Done() <-chan struct{} { return tx.done }

func (tx *localTx) finish() { tx.once.Do(func() { close(tx.done) }) }

func (tx *localTx) cancel() {
	if !tx.cancelled {
		tx.cancelled = true
		tx.b.f.s.node.CancelSIP(tx, tx.b.f.reason)
	}
}

// localUp is the node in this process as the sender of a request.
type localUp struct {
	on func(*sip.Response, error)
}

// Respond implements upstream. Answers of our own making say that there is no way to the phone; the node gets them like the
// phone's.
func (u localUp) Respond(status int, b []byte) error {
	var m wire.Message
	if err := wire.Scan(&m, b); err != nil {
		u.on(nil, voice.ErrInternal)
		return err
	}
	res, err := object.Response(&m)
	if err != nil {
		u.on(nil, voice.ErrInternal)
		return fmt.Errorf("response %d for the SIP node: %w", status, err)
	}
	u.on(res, nil)
	return nil
}

// localRequest is a request of the node in this process.
type localRequest struct {
	shard *txn.Shard
	f     *forwarding // set on the shard
}

// Cancel implements sipua.ClientTx.
func (r *localRequest) Cancel(reason string) {
	r.shard.Do(func() {
		if r.f != nil && !r.f.closed {
			r.f.cancel(reason)
		}
	})
}

// Send implements sipua.Sender.
func (s *Service) Send(req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error) {
	m, err := s.fromLocal(req)
	if err != nil {
		return nil, err
	}
	r := &localRequest{shard: m.Shard}
	m.Shard.Do(func() {
		rt := s.routeOf(m, true)
		if rt.direction != outbound || m.Hops() == 0 {
			on(nil, voice.Errorf(voice.ErrInvalid, "no Route of this platform in the request"))
			return
		}
		r.f = s.open(m.Shard, localUp{on}, m, rt)
		r.f.loop = s.loopMark(m)
		r.f.start()
	})
	return r, nil
}

// SendAck implements sipua.Sender.
func (s *Service) SendAck(req *sip.Request) error {
	m, err := s.fromLocal(req)
	if err != nil {
		return err
	}
	m.Shard.Do(func() { s.ack(m, true) })
	return nil
}

// fromLocal turns an object of the node into the bytes a forwarding works on.
func (s *Service) fromLocal(req *sip.Request) (*txn.Message, error) {
	m := &txn.Message{Received: time.Now()}
	if err := wire.Scan(&m.Message, object.Bytes(req)); err != nil {
		return nil, voice.Errorf(voice.ErrInvalid, "request of the SIP node: %s", err.Reason)
	}
	m.Shard = s.layer.Shard(m.Get(wire.CallID))
	return m, nil
}
