package workspace

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/voice"
)

// Options are what the interface is made of. The functions are doors of other services, or what stands for them.
type Options struct {
	Ask    func(ctx context.Context, r *voice.Request) (*contract.RequestAnswer, error)               // contract.Ask
	Calls  func(ctx context.Context, r contract.FindCallsRequest) (contract.FindCallsResponse, error) // contract.FindCalls
	SignIn func(ctx context.Context, r contract.SignInRequest) (contract.Session, error)              // contract.SignIn
	Verify func(ctx context.Context, token string) (voice.Principal, error)                           // contract.VerifyToken
	Read   func(ctx context.Context, kind voice.Kind, tenant, key string) (voice.Resource, error)     // contract.ConfigGet
	DN     func(tenant, number string) (kind voice.DNType, ok bool)                                   // of contract.Directory

	Config   Config
	Stopping <-chan struct{}       // closed when the server that has Handler stops; may be nil
	Registry prometheus.Registerer // may be nil
	Log      *slog.Logger          // nil: discard
	Now      func() time.Time      // nil: time.Now
}

// Service is the interface. See [New], [Service.Handler], [Service.Call], [Service.Device] and [Service.Run].
type Service struct {
	o        Options
	log      *slog.Logger
	metrics  *metrics
	codes    codes
	clients  atomic.Int64
	refs     atomic.Int64  // the last ReferenceID that was given away
	stopping chan struct{} // closed when Run ends: polls are answered

	mu       sync.Mutex // guards what follows
	sessions map[string]*session
	byDN     map[deviceKey]map[*session]struct{}
}

type deviceKey struct{ tenant, dn string }

// New checks its options and starts nothing.
func New(o Options) (*Service, error) {
	if o.Ask == nil || o.Calls == nil || o.SignIn == nil || o.Verify == nil || o.Read == nil || o.DN == nil {
		return nil, errors.New("workspace: a function that it needs is missing")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	start, err := rand.Int(rand.Reader, big.NewInt(1<<30))
	if err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	s := &Service{
		o: o, log: o.Log, stopping: make(chan struct{}),
		sessions: map[string]*session{}, byDN: map[deviceKey]map[*session]struct{}{},
	}
	// Other nodes and clients number their requests too; a start of one's own makes it unlikely that two are the same.
	s.refs.Store(start.Int64())
	s.metrics = newMetrics(o.Registry, s.countSessions, func() int { return int(s.clients.Load()) })
	return s, nil
}

// Run ends sessions and clients that nobody uses any more, until ctx ends; then it answers the polls that wait and
// returns nil. Call it once.
func (s *Service) Run(ctx context.Context) error {
	defer close(s.stopping)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.sweep(s.o.Now())
		}
	}
}

func (s *Service) sweep(now time.Time) {
	s.codes.sweep(now)
	for _, x := range s.all() {
		x.mu.Lock()
		waits := false
		for i := len(x.clients) - 1; i >= 0; i-- {
			c := x.clients[i]
			waits = waits || c.poll != nil
			if c.poll == nil && now.Sub(c.seen) > clientSilence {
				s.dropClientLocked(x, c, dropSilent)
			}
		}
		silent := !waits && now.Sub(x.seen) > s.o.Config.Silence
		x.mu.Unlock()
		if silent {
			s.end(x)
		}
	}
}

// Call takes an event of a call to the sessions that follow its device. Events of one call come in order.
func (s *Service) Call(ev *voice.CallEvent) {
	for _, x := range s.following(ev.Tenant, ev.ThisDN) {
		x.take(ev, s.pushLocked(x), s.o.Now())
	}
}

// Device takes an event about a device to the sessions that follow it.
func (s *Service) Device(ev *voice.DeviceEvent) {
	for _, x := range s.following(ev.Tenant, ev.ThisDN) {
		x.device(ev, s.pushLocked(x), s.o.Now())
	}
}

func (s *Service) following(tenant, dn string) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.byDN[deviceKey{tenant, dn}]
	if len(set) == 0 {
		return nil
	}
	out := make([]*session, 0, len(set))
	for x := range set {
		out = append(out, x)
	}
	return out
}

// follow moves a session to the events of another device; "" is none. Two that change the device at once may come here in
// the other order: the later turn holds.
func (s *Service) follow(x *session, turn uint64, dn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if turn < x.followedTurn {
		return
	}
	x.followedTurn = turn
	if x.followed != "" {
		k := deviceKey{x.tenant, x.followed}
		x.followed = ""
		delete(s.byDN[k], x)
		if len(s.byDN[k]) == 0 {
			delete(s.byDN, k)
		}
	}
	if dn == "" || s.sessions[x.key] != x { // it ended meanwhile
		return
	}
	k := deviceKey{x.tenant, dn}
	if s.byDN[k] == nil {
		s.byDN[k] = map[*session]struct{}{}
	}
	s.byDN[k][x] = struct{}{}
	x.followed = dn
}

func (s *Service) countSessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func (s *Service) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*session, 0, len(s.sessions))
	for _, x := range s.sessions {
		out = append(out, x)
	}
	return out
}

// open makes a session for who signed in with token.
func (s *Service) open(tenant, token string, person voice.Person) (*session, error) {
	x := &session{
		key: newKey(), token: token, tenant: tenant, person: person, seen: s.o.Now(), autoComplete: true,
		calls: map[string]*call{}, operations: map[int64]string{},
	}
	for {
		oldest, full := s.add(x)
		if oldest != nil {
			s.end(oldest)
			continue
		}
		if full {
			return nil, voice.Errorf(voice.ErrOverloaded, "there are %d sessions on this node, as many as there may be", s.o.Config.MaxSessions)
		}
		return x, nil
	}
}

// add keeps a new session, unless there are too many: of its person, then oldest has to end first, or in all.
func (s *Service) add(x *session) (oldest *session, full bool) {
	var same []*session
	var oldestSeen time.Time
	for _, y := range s.all() {
		if y.tenant != x.tenant || y.person.Username != x.person.Username {
			continue
		}
		same = append(same, y)
		y.mu.Lock()
		if oldest == nil || y.seen.Before(oldestSeen) {
			oldest, oldestSeen = y, y.seen
		}
		y.mu.Unlock()
	}
	if len(same) >= maxPersonSessions {
		return oldest, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= s.o.Config.MaxSessions {
		return nil, true
	}
	s.sessions[x.key] = x
	return nil, false
}

// find returns the session of a cookie, if its token still stands for its person.
func (s *Service) find(ctx context.Context, key string) (*session, voice.Principal, error) {
	s.mu.Lock()
	x := s.sessions[key]
	s.mu.Unlock()
	if x == nil {
		return nil, voice.Principal{}, errNoSession
	}
	p, err := s.o.Verify(ctx, x.token)
	if errors.Is(err, voice.ErrUnauthorized) {
		s.end(x)
		return nil, voice.Principal{}, errNoSession
	}
	if err != nil {
		return nil, voice.Principal{}, err
	}
	x.mu.Lock()
	x.seen = s.o.Now()
	x.mu.Unlock()
	return x, p, nil
}

var errNoSession = voice.Errorf(voice.ErrUnauthorized, "there is no session; begin with initialize-workspace")

// end ends a session: its clients are told to go, its device is nobody's.
func (s *Service) end(x *session) {
	s.mu.Lock()
	delete(s.sessions, x.key)
	s.mu.Unlock()
	x.mu.Lock()
	x.gone = true
	turn := x.dropDeviceLocked()
	for len(x.clients) > 0 {
		x.clients[0].left = true
		s.dropClientLocked(x, x.clients[0], "")
	}
	x.mu.Unlock()
	s.follow(x, turn, "")
}

// newKey is an unguessable name: 192 bits.
func newKey() string {
	b := make([]byte, 24)
	rand.Read(b) //nolint:errcheck // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
