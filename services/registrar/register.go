package registrar

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// Limits on a REGISTER beside those on its contacts and credentials.
const (
	maxCallID    = 256
	maxPath      = 8   // values
	maxPathValue = 512 // bytes of one
)

// Register answers one REGISTER. It runs on many goroutines at once; see the package comment for the order of its
// steps. Whatever a phone does wrong becomes a status; the error is always nil.
func (s *Service) Register(ctx context.Context, req *contract.RegisterRequest) (*contract.RegisterResponse, error) {
	start := s.now()
	source := sourceOf(req.Source.Addr())
	if s.bans.banned(source, start) {
		s.metrics.dropped.Inc()
		return &contract.RegisterResponse{Drop: true}, nil
	}
	j := s.jobs.Get().(*job)
	defer s.free(j)

	keeper := s.keeper.Load()
	if keeper == nil {
		s.metrics.response(503)
		return j.unavailable(), nil
	}
	tn, ok := s.dir.TenantByHost(req.Host)
	if !ok { // no such domain here (§10.3 step 1)
		s.metrics.response(404)
		return j.reply.done(404, "Not Found"), nil
	}
	t := s.index.tenant(tn.Name)
	resp := s.register(ctx, req, keeper, tn, t, source, j)
	s.metrics.response(resp.Status)
	t.metrics.handled.Inc()
	t.metrics.latency.Observe(float64(s.now().Sub(start)) / float64(time.Millisecond))
	return resp, nil
}

// register is RFC 3261 §10.3 from step 2 on.
func (s *Service) register(ctx context.Context, req *contract.RegisterRequest, k *digest.Doorkeeper, tn *contract.TenantRecord, t *tenant, source netip.Addr, j *job) *contract.RegisterResponse {
	if refuseOptions(req.Require, &j.reply) {
		return j.reply.done(420, "Bad Extension")
	}
	if req.ToUser == "" || req.CallID == "" || len(req.CallID) > maxCallID || !printable(req.CallID) {
		return j.reply.done(400, "Bad Request")
	}
	id := s.identify(k, req, tn)
	if id.tried {
		s.metrics.verdict(id.verdict)
	}
	if id.entry == nil {
		if id.verdict == digest.Denied && id.tried {
			s.failed(source, tn.Name, req.ToUser, "wrong credentials")
		}
		stale := id.verdict == digest.Stale || id.verdict == digest.Replayed
		return s.challenge(k, req, tn.Realm, stale, &j.reply)
	}
	s.failures.clear(source)

	a, ok := s.index.acquire(aorKey{t, id.entry.Number}, maxHolders)
	if !ok {
		return j.unavailable()
	}
	defer s.index.release(a)
	a.write.Lock()
	defer a.write.Unlock()
	if !s.allowed(a, id.entry) {
		return s.challenge(k, req, tn.Realm, false, &j.reply)
	}
	return s.bind(ctx, a, req, j)
}

// allowed tells whether the options of the number let it register; a.write is held.
func (s *Service) allowed(a *aor, e *contract.DNRecord) bool {
	if a.entry != e { // a change of the number replaces its entry
		ok, err := mayRegister(e)
		if err != nil {
			s.log.Error("options of a number", "err", err)
		}
		a.entry, a.allow = e, ok
	}
	return a.allow
}

// bind carries out what the request asks for, and answers with what is then in force. a.write is held.
func (s *Service) bind(ctx context.Context, a *aor, req *contract.RegisterRequest, j *job) *contract.RegisterResponse {
	r := &j.reg
	r.cfg, r.req = &s.cfg, req
	returnPath := slices.Contains(req.Supported, "path")
	if len(req.Path) > 0 {
		if !returnPath && s.cfg.Path == PathRefuse {
			j.reply.add("Unsupported", "path")
			return j.reply.done(420, "Bad Extension")
		}
		if !readPath(req.Path) {
			return j.reply.done(400, "Bad Request")
		}
		r.path = strings.Join(req.Path, "\n")
	}
	r.received = received(req.Source)
	if refused := r.read(); refused != refusedNot {
		return s.refuse(refused, &j.reply)
	}
	if err := s.change(ctx, a, j, r); err != nil {
		return s.notStored(a, err, j)
	}
	if r.refused != refusedNot {
		return s.refuse(r.refused, &j.reply)
	}
	return s.accepted(req, returnPath, j)
}

// accepted is the 200 (§10.3 step 8): every contact in force, the best first.
func (s *Service) accepted(req *contract.RegisterRequest, returnPath bool, j *job) *contract.RegisterResponse {
	sortBindings(j.old)
	for i := range j.old {
		j.reply.contact(&j.old[i], j.nowMS)
	}
	if s.cfg.Date {
		j.reply.add("Date", s.date.at(time.UnixMilli(j.nowMS)))
	}
	if len(req.Path) > 0 && returnPath {
		for _, v := range req.Path {
			j.reply.add("Path", v)
		}
		j.reply.add("Supported", "path")
	}
	return j.reply.done(200, "OK")
}

// sortBindings puts the preferred first: by q, then the one registered last.
func sortBindings(bs []binding) {
	if len(bs) < 2 {
		return
	}
	slices.SortStableFunc(bs, func(x, y binding) int {
		if x.q != y.q {
			return int(y.q) - int(x.q)
		}
		switch {
		case x.since > y.since:
			return -1
		case x.since < y.since:
			return 1
		}
		return 0
	})
}

// refuse is the one place where a refusal becomes a status.
func (s *Service) refuse(why refusal, r *reply) *contract.RegisterResponse {
	switch why {
	case refusedBrief:
		r.buf = appendSeconds(r.buf, s.cfg.Expires.Min)
		r.end("Min-Expires")
		return r.done(423, "Interval Too Brief")
	case refusedTooMany:
		return r.done(403, "Too Many Contacts")
	case refusedOrder:
		return r.done(500, "CSeq Out Of Order")
	default: // refusedContact, refusedWildcard
		return r.done(400, "Bad Contact")
	}
}

// notStored is the answer when the fabric did not take a registration. Nothing changed, or the phone will hear of it
// when it tries again.
func (s *Service) notStored(a *aor, err error, j *job) *contract.RegisterResponse {
	s.metrics.storeErrors.Inc()
	j.reply.reset()
	if errors.Is(err, voice.ErrInternal) || errors.Is(err, voice.ErrInvalid) {
		s.log.Error("registration not stored", "tenant", a.tenant.name, "dn", a.dn, "err", err)
		return j.reply.done(500, "Server Internal Error")
	}
	s.log.Warn("registration not stored", "tenant", a.tenant.name, "dn", a.dn, "err", err)
	return j.unavailable()
}

const retryAfter = "5" // seconds, for a 503

// unavailable is the answer while something the registrar needs is away.
func (j *job) unavailable() *contract.RegisterResponse {
	j.reply.add("Retry-After", retryAfter)
	return j.reply.done(503, "Service Unavailable")
}

// refuseOptions finds option tags that the registrar does not know (§10.3 step 2, §8.2.2.3).
func refuseOptions(require []string, r *reply) bool {
	unknown := false
	for _, tag := range require {
		if tag == "path" {
			continue
		}
		unknown = true
		if printable(tag) {
			if len(r.buf) > 0 {
				r.buf = append(r.buf, ", "...)
			}
			r.buf = append(r.buf, tag...)
		}
	}
	if len(r.buf) > 0 {
		r.end("Unsupported")
	}
	return unknown
}

// readPath tells whether the values of Path may be stored and written into headers again.
func readPath(values []string) bool {
	if len(values) > maxPath {
		return false
	}
	for _, v := range values {
		if v == "" || len(v) > maxPathValue || !printable(v) {
			return false
		}
	}
	return true
}

// received renders the address a request came from.
func received(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

// appendSeconds renders d in whole seconds, rounded up.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, int64((d+time.Second-1)/time.Second), 10)
}
