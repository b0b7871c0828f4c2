package trunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/sipua/digest"
	"parley/internal/sipua/locate"
	"parley/internal/sipua/transport"
)

// The states of a registration.
const (
	registered = "registered"
	trying     = "trying"
	refused    = "failed"
)

// Times of registering.
const (
	retryFirst   = 2 * time.Second // after a failure, doubling
	retryMost    = 5 * time.Minute
	registerTime = 10 * time.Second // for an answer, of each target
	unregister   = 2 * time.Second
)

// registration keeps the trunk registered at its provider (RFC 3261 §10.2). All its requests have one Call-ID and one row of
// CSeq numbers. One goroutine works on it.
type registration struct {
	tr      *Trunk
	link    *Link
	log     *slog.Logger
	uri     locate.URI
	dialog  *outside
	ask     time.Duration // what is asked for; a provider may want more (423)
	granted bool
}

// keepRegistered registers while this node has the lease, until ctx ends, and then takes the registration back.
func (tr *Trunk) keepRegistered(ctx context.Context) {
	link := tr.table.link.Load()
	job := func(ctx context.Context) { tr.newRegistration(link).run(ctx) }
	if link.Leases == nil {
		job(ctx)
		return
	}
	l := &lease{bucket: link.Leases, key: fabric.Key("trunk", tr.Tenant, tr.DN), node: tr.table.node, log: tr.table.log}
	l.hold(ctx, job)
}

func (tr *Trunk) newRegistration(link *Link) *registration {
	r := &registration{tr: tr, link: link, log: tr.table.log.With("tenant", tr.Tenant, "trunk", tr.DN), ask: tr.Options.RegisterExpires}
	u, err := locate.ParseURI(tr.Options.Register)
	if err == nil {
		r.uri = u
	}
	domain := tr.Options.Domain
	if domain == "" {
		domain = u.Host
		if strings.Contains(domain, ":") {
			domain = "[" + domain + "]"
		}
	}
	aor := "<sip:" + tr.Options.RegisterUser + "@" + domain + ">"
	r.dialog = &outside{from: aor, to: aor, callID: random() + "@" + routeHost, proof: tr.account.Proof()}
	return r
}

func (r *registration) run(ctx context.Context) {
	defer r.end(ctx)
	r.show(trying, "", time.Time{})
	for fails := 0; ; {
		wait, err := r.register(ctx, r.ask)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			state := trying
			if fails++; fails > 1 {
				state = refused
			}
			wait = backOff(fails)
			r.show(state, fmt.Sprintf("%v; tried again in %v", err, wait.Round(time.Second)), time.Time{})
			r.log.Warn("register a trunk", "registrar", r.tr.Options.Register, "err", err, "next", wait.Round(time.Second))
		default:
			fails = 0
			r.show(registered, "", time.Now().Add(wait))
			wait = refresh(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// refresh is when to register again: between half and three quarters of the lease, so that many do not come at once and a
// lost answer can be made up for.
func refresh(lease time.Duration) time.Duration {
	return max(lease/2+time.Duration(rand.Int64N(int64(lease/4)+1)), time.Second)
}

// backOff is how long to wait after the nth failure in a row: longer each time, and by chance, so that a provider who comes
// back is not met by all his customers at once.
func backOff(n int) time.Duration {
	wait := min(retryFirst<<min(n-1, 20), retryMost)
	return wait/2 + time.Duration(rand.Int64N(int64(wait/2)+1))
}

// end takes the registration back, for a moment's time.
func (r *registration) end(ctx context.Context) {
	if r.granted {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unregister)
		defer cancel()
		if _, err := r.register(ctx, 0); err != nil {
			r.log.Warn("take back the registration of a trunk", "registrar", r.tr.Options.Register, "err", err)
		}
	}
	r.tr.mu.Lock()
	defer r.tr.mu.Unlock()
	r.tr.registration = nil
}

func (r *registration) show(state, reason string, until time.Time) {
	s := &contract.TrunkRegistration{Registrar: r.tr.Options.Register, User: r.tr.Options.RegisterUser, State: state, Reason: reason}
	if !until.IsZero() {
		s.Expires = until.UTC()
	}
	r.tr.mu.Lock()
	defer r.tr.mu.Unlock()
	r.tr.registration = s
}

// register asks the targets of the registrar one after the other, and returns how long the registration holds. ask 0 ends it.
func (r *registration) register(ctx context.Context, ask time.Duration) (time.Duration, error) {
	answer, err := r.tr.table.locator.Locate(ctx, r.uri)
	if err != nil {
		return 0, err
	}
	for _, at := range answer.Targets() {
		var res *sip.Response
		if res, err = r.send(ctx, at, ask); err != nil {
			continue
		}
		if least, ok := minExpires(res); ok && least > ask && ask > 0 { // RFC 3261 §10.2.8
			ask, r.ask = least, least
			if res, err = r.send(ctx, at, ask); err != nil {
				continue
			}
		}
		switch {
		case res.IsSuccess():
			r.granted = ask > 0
			return r.lease(res, ask), nil
		case res.StatusCode == sip.StatusServiceUnavailable, res.StatusCode == sip.StatusRequestTimeout, res.StatusCode == statusNoFlow:
			err = fmt.Errorf("%s: %d %s", at, res.StatusCode, res.Reason)
		default:
			return 0, fmt.Errorf("%s: %d %s", at, res.StatusCode, res.Reason)
		}
	}
	return 0, err
}

// send sends one REGISTER and waits for its answer.
func (r *registration) send(ctx context.Context, at locate.Target, ask time.Duration) (*sip.Response, error) {
	host := r.link.Contact(at.Transport)
	if host == "" {
		return nil, fmt.Errorf("%s: sip.listen has no %s listener that the provider could call", at, at.Transport)
	}
	contact := "<sip:" + r.tr.table.contactUser(r.tr) + "@" + host
	if at.Transport != transport.UDP {
		contact += ";transport=" + string(at.Transport)
	}
	type result struct {
		res *sip.Response
		err error
	}
	done := make(chan result, 1)
	r.tr.send(r.dialog, sip.REGISTER, r.tr.Options.Register, r.tr.routeTo(r.link, at), []digest.Field{
		{Name: "Contact", Value: contact + ">"},
		{Name: "Expires", Value: strconv.Itoa(int(ask / time.Second))},
	}, func(res *sip.Response, err error) { done <- result{res, err} })
	ctx, cancel := context.WithTimeout(ctx, registerTime)
	defer cancel()
	select {
	case got := <-done:
		return got.res, got.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", at, errNoAnswer)
	}
}

var errNoAnswer = errors.New("no answer")

// lease is how long the provider keeps our contact: what it says of the contact, of all, or what was asked for.
func (r *registration) lease(res *sip.Response, asked time.Duration) time.Duration {
	user := r.tr.table.contactUser(r.tr)
	for _, h := range res.GetHeaders("Contact") {
		for _, one := range strings.Split(h.Value(), ",") {
			if _, params, ok := strings.Cut(one, ">"); ok && strings.Contains(one, user) {
				for _, p := range strings.Split(params, ";") {
					if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "expires") {
						if d, ok := seconds(value); ok && d > 0 {
							return d
						}
					}
				}
			}
		}
	}
	if h := res.GetHeader("Expires"); h != nil {
		if d, ok := seconds(h.Value()); ok && d > 0 {
			return d
		}
	}
	return asked
}

// minExpires is what a 423 wants at least.
func minExpires(res *sip.Response) (time.Duration, bool) {
	if res.StatusCode != statusTooBrief {
		return 0, false
	}
	h := res.GetHeader("Min-Expires")
	if h == nil {
		return 0, false
	}
	return seconds(h.Value())
}

const (
	statusTooBrief = 423
	longestLease   = 24 * time.Hour
)

func seconds(s string) (time.Duration, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0, false
	}
	return min(time.Duration(n)*time.Second, longestLease), true
}
