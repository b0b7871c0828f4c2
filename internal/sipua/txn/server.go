package txn

import (
	"fmt"
	"strconv"
	"time"

	"parley/internal/sipua/wire"
)

// state of a transaction; server and client share the names of RFC 3261 §17 and RFC 6026 §7.
type state uint8

const (
	proceeding state = iota // Trying, Calling and Proceeding: no final response yet
	completed               // a final response that is repeated on demand, or until the ACK
	confirmed               // the ACK is here
	accepted                // an INVITE's 2xx (RFC 6026)
	ended
)

// Server is one server transaction. Its methods are for its shard's goroutine, except Shard.
type Server struct {
	shard    *Shard
	key      string
	req      *Message
	reply    Path
	invite   bool
	reliable bool
	state    state
	status   int    // of the last response
	last     []byte // the last response
	interval time.Duration
	repeat   *Timer // Timer G
	life     *Timer // age, then Timer H, I, J or L

	Local any // the core's own state of this transaction
}

// request finds out what a request is: new, a repetition, an ACK or a CANCEL.
func (s *Shard) request(m *Message) {
	ack, cancel := string(m.Method()) == "ACK", string(m.Method()) == "CANCEL"
	s.key = appendServerKey(s.key[:0], m, ack || cancel)
	tx := s.servers[string(s.key)]
	switch {
	case ack:
		if tx == nil || !tx.acknowledge() {
			s.l.core.Ack(m)
		}
	case cancel:
		s.cancel(tx, m)
	case tx != nil:
		tx.again()
	case s.l.servers.Load() >= s.l.max:
		s.l.m.rejected.Inc()
		s.l.core.Answer(m, 503)
	default:
		s.l.core.Request(s.open(string(s.key), m))
	}
}

func (s *Shard) open(key string, m *Message) *Server {
	tx := &Server{
		shard: s, key: key, req: m, reply: m.Reply,
		invite: string(m.Method()) == "INVITE", reliable: m.Reply.Transport().Reliable(),
	}
	age := s.l.timers.MaxAge
	if !tx.invite {
		age = min(age, 128*s.l.timers.T1) // twice Timer F
	}
	tx.life = s.After(age, tx.abandoned)
	s.servers[key] = tx
	s.l.servers.Add(1)
	s.l.m.serversCreated.Inc()
	return tx
}

// cancel answers a CANCEL and tells the core of it (RFC 3261 §9.2). A repeated CANCEL is answered again.
func (s *Shard) cancel(tx *Server, m *Message) {
	if tx == nil || !tx.invite {
		s.l.core.Answer(m, 481)
		return
	}
	s.l.core.Answer(m, 200)
	if tx.state == proceeding {
		s.l.core.Cancel(tx, m)
	}
}

// appendServerKey makes the key of RFC 3261 §17.2.3. asInvite looks for the INVITE that an ACK or CANCEL belongs to.
func appendServerKey(dst []byte, m *Message, asInvite bool) []byte {
	var via wire.ViaValue
	m.TopVia(&via)
	method := m.Method()
	if asInvite {
		method = []byte("INVITE")
	}
	if via.RFC3261() {
		dst = append(append(dst, via.Branch...), ' ')
		dst = append(append(dst, via.SentBy...), ' ')
		return append(dst, method...)
	}
	// RFC 2543: there is no unique branch, so everything that identifies the request takes its place.
	n, _ := m.CSeq()
	dst = append(append(dst, m.URI()...), ' ')
	dst = append(append(dst, m.Tag(wire.From)...), ' ')
	dst = append(append(dst, m.Get(wire.CallID)...), ' ')
	dst = strconv.AppendUint(dst, uint64(n), 10)
	dst = append(append(append(dst, ' '), via.SentBy...), via.Params...)
	return append(append(dst, ' '), method...)
}

// Shard is where tx lives.
func (tx *Server) Shard() *Shard { return tx.shard }

// Request is the request; nil after the final response.
func (tx *Server) Request() *Message { return tx.req }

// Answered tells whether a final response was given.
func (tx *Server) Answered() bool { return tx.state != proceeding }

// Respond sends a response, of which b are the bytes; they are kept. Provisional ones are for the time before the final one,
// and of final ones only further 2xx to an INVITE are taken after the first (RFC 6026 §7.1). On an error the
// transaction has ended: what cannot be sent will not arrive later.
func (tx *Server) Respond(status int, b []byte) error {
	if tx.state == accepted && status/100 == 2 {
		return tx.send(b)
	}
	if tx.state != proceeding {
		return ErrEnded
	}
	tx.status, tx.last = status, b
	if err := tx.send(b); err != nil {
		return err
	}
	if status < 200 {
		return nil
	}
	tx.req = nil
	switch {
	case tx.invite && status < 300:
		tx.state, tx.last = accepted, nil
		tx.endIn(64 * tx.shard.l.timers.T1) // Timer L
	case tx.invite:
		tx.state = completed
		tx.endIn(64 * tx.shard.l.timers.T1) // Timer H
		if !tx.reliable {
			tx.interval = tx.shard.l.timers.T1
			tx.repeat = tx.shard.After(tx.interval, tx.timerG)
		}
	case tx.reliable:
		tx.end()
	default:
		tx.state = completed
		tx.endIn(64 * tx.shard.l.timers.T1) // Timer J
	}
	return nil
}

func (tx *Server) send(b []byte) error {
	if err := tx.reply.Send(b); err != nil {
		tx.end()
		return fmt.Errorf("%w: %w", ErrSend, err)
	}
	return nil
}

// again is a repetition of the request: the last response is repeated, if there is one (§17.2.1, §17.2.2).
func (tx *Server) again() {
	if tx.last != nil && (tx.state == proceeding || tx.state == completed) {
		tx.resend()
	}
}

// resend repeats the last response. An error need not be looked at: it has ended the transaction.
func (tx *Server) resend() { _ = tx.send(tx.last) }

func (tx *Server) timerG() {
	if tx.resend(); tx.state == ended {
		return
	}
	tx.interval = min(2*tx.interval, tx.shard.l.timers.T2)
	tx.repeat.Reset(tx.interval)
}

// acknowledge takes the ACK to a final response of 300 or more; false says that it was not for that.
func (tx *Server) acknowledge() bool {
	switch tx.state {
	case completed:
		tx.state, tx.last = confirmed, nil
		tx.repeat.Stop()
		if tx.reliable {
			tx.end()
		} else {
			tx.endIn(tx.shard.l.timers.T4) // Timer I
		}
		return true
	case confirmed:
		return true
	}
	return false
}

func (tx *Server) endIn(d time.Duration) {
	tx.life.fn = tx.end
	tx.life.Reset(d)
}

// End forgets a transaction that gets no final response, as RFC 4320 wants it for requests other than INVITE whose
// answer would come too late.
func (tx *Server) End() { tx.end() }

// abandoned ends a transaction that nobody answered, which the core should not let happen.
func (tx *Server) abandoned() {
	tx.shard.l.m.swept.Inc()
	tx.end()
}

// end forgets the transaction; ending it again does nothing.
func (tx *Server) end() {
	if tx.state == ended {
		return
	}
	tx.state, tx.req, tx.last, tx.Local = ended, nil, nil, nil
	tx.repeat.Stop()
	tx.life.Stop()
	delete(tx.shard.servers, tx.key)
	tx.shard.l.servers.Add(-1)
	tx.shard.l.m.serversDeleted.Inc()
}
