package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
	"parley/services/orchestration/module/dialog"
	"parley/services/orchestration/module/ixn"
	"parley/services/orchestration/module/queue"
	modsession "parley/services/orchestration/module/session"
)

// atOnce does what needs nobody else. done says that the request came to its end.
func (s *session) atOnce(a *asked) (done bool, err error) {
	switch a.Name() {
	case "interaction.accept":
		return true, nil // the script has it
	case "interaction.detach":
		s.part(s.item(a.Interaction))
		return true, nil
	case "interaction.reject", "interaction.attach", "interaction.associate":
		return false, module.Refuse(module.Unsupported, "interactions do not move between sessions yet")
	case "dialog.setdefaultdestination":
		s.rec.Params["default-destination"] = a.Text("destination")
		return true, nil
	case "queue.cancel":
		return true, s.cancelWish(a)
	case "queue.update":
		return true, s.updateWish(a)
	case "session.response":
		return true, s.respond(a)
	case "interaction.redirect", "queue.submit":
		i := s.item(a.Interaction)
		if i.At == "" && (a.Action == ixn.Redirect || a.Flag("route", true)) {
			return false, module.Refuse(module.InvalidState+".routed", "the interaction is not at a route point any more")
		}
		if a.Name() == "queue.submit" {
			if t, _ := a.Number("timeout", 0); t > 0 {
				a.Until = s.svc.now().Add(time.Duration(t * float64(time.Second)))
			}
		}
	}
	if a.Module == dialog.Name && s.item(a.Interaction).At == "" {
		return false, module.Refuse(module.InvalidState+".routed", "the interaction is not at a route point any more")
	}
	return false, nil
}

// makeRequests asks for what was not asked for yet.
func (s *session) makeRequests() {
	for _, a := range slices.Clone(s.rec.Asked) {
		if a.Sent || a.Due.After(s.svc.now()) {
			continue
		}
		a.Sent, a.Due = true, time.Time{}
		s.make(a)
	}
}

// make asks a door for a request. What the answer says comes back to the session; where events say more, only a refusal does.
func (s *session) make(a *asked) {
	i := s.item(a.Interaction)
	id, ref := a.ID, a.Ref
	back := func(done bool, data map[string]any, err error) {
		s.do(func() {
			b := s.find(id)
			switch {
			case b == nil || b.Ref != ref: // answered by an event, or tried again since
			case err != nil && (b.Name() == "interaction.redirect" || b.Name() == "queue.submit"):
				s.notRouted(b, err)
			case err != nil || done:
				s.answer(b, data, err)
			}
		})
	}
	var work func(ctx context.Context) (done bool, data map[string]any, err error)
	switch {
	case a.Module == dialog.Name:
		kind, kv, _ := dialog.Treatment(&a.Request)
		work = s.treat(i, kind, kv, ref)
	case a.Name() == "interaction.terminate" && i != nil && i.At != "":
		cancel := s.treat(i, voice.TreatmentCancelCall, nil, ref)
		work = func(ctx context.Context) (bool, map[string]any, error) {
			_, _, err := cancel(ctx)
			return true, nil, err
		}
	case a.Name() == "interaction.redirect":
		work = s.route(i, ixn.Destination(&a.Request), ref)
	case a.Name() == "queue.submit":
		work = s.submit(a, i)
	case a.Name() == "queue.query":
		work = s.ask1(func(ctx context.Context) (map[string]any, error) {
			p, err := fabric.Call(ctx, s.svc.f, contract.QueueQuery, &contract.QueueCancelRequest{Tenant: s.rec.Tenant, Session: s.rec.ID, Request: s.wishOf(a)})
			return map[string]any{"position": float64(p.Position), "waiting": float64(p.Waiting), "expected": p.Expected}, err
		})
	case a.Module == ixn.Name:
		work = s.tlib(a, i)
	case a.Name() == "session.fetch" || a.Name() == "ws.request":
		work = s.ask1(func(ctx context.Context) (map[string]any, error) { return s.svc.fetchFor(ctx, &a.Request) })
	case a.Name() == "session.start":
		tenant, src := s.rec.Tenant, modsession.Source(&a.Request)
		params, _ := a.Args["params"].(map[string]any)
		work = s.ask1(func(ctx context.Context) (map[string]any, error) {
			id, err := s.svc.startBy(ctx, tenant, src, params, time.Time{})
			return map[string]any{"sessionid": id}, err
		})
	case a.Name() == "session.terminate":
		other := a.Text("sessionid")
		if other == "" {
			other = s.rec.ID
		}
		tenant := s.rec.Tenant
		work = s.ask1(func(ctx context.Context) (map[string]any, error) {
			return map[string]any{"sessionid": other}, s.svc.terminate(ctx, tenant, other)
		})
	case a.Name() == "statistic.get":
		req := contract.StatisticRequest{Tenant: s.rec.Tenant, Object: a.Text("object"), Statistic: a.Text("statistic")}
		work = s.ask1(func(ctx context.Context) (map[string]any, error) {
			v, err := fabric.Call(ctx, s.svc.f, contract.Statistic, req)
			return map[string]any{"value": v.Value}, err
		})
	case a.Name() == "resource.get":
		kind, name, tenant := voice.Kind(a.Text("kind")), a.Text("name"), s.rec.Tenant
		work = s.ask1(func(ctx context.Context) (map[string]any, error) { return s.svc.resourceFor(ctx, tenant, kind, name) })
	default:
		back(false, nil, module.Refuse(module.Unsupported, "<%s> is not served", a.Name()))
		return
	}
	s.svc.background(func(ctx context.Context) { back(work(ctx)) }, func() {
		back(false, nil, module.Refuse(module.Unavailable, "too many requests are under way"))
	})
}

type doing = func(ctx context.Context) (done bool, data map[string]any, err error)

// ask1 is a request that its answer ends.
func (s *session) ask1(fn func(ctx context.Context) (map[string]any, error)) doing {
	return func(ctx context.Context) (bool, map[string]any, error) {
		data, err := fn(ctx)
		return true, data, unavailable(err)
	}
}

// unavailable is an error of a door as a refusal.
func unavailable(err error) error {
	var refused *module.Refusal
	switch {
	case err == nil || errors.As(err, &refused):
		return err
	case errors.Is(err, voice.ErrNotFound):
		return module.Refuse("notfound", "%v", err)
	case errors.Is(err, voice.ErrTimeout) || errors.Is(err, context.DeadlineExceeded):
		return module.Refuse(module.Timeout, "%v", err)
	case errors.Is(err, voice.ErrInvalid):
		return module.Refuse(module.InvalidParameter, "%v", err)
	}
	return module.Refuse(module.Unavailable, "%v", err)
}

// treat applies a treatment at the node that has the call.
func (s *session) treat(i *item, kind voice.TreatmentType, kv voice.KVList, ref int64) doing {
	req := &contract.TreatmentRequest{Tenant: s.rec.Tenant, CallUUID: i.ID, ThisDN: i.At, Type: kind, Parameters: kv, ReferenceID: ref}
	node := i.Node
	return func(ctx context.Context) (bool, map[string]any, error) {
		began := time.Now()
		ans, at, err := atCall(ctx, s.svc, contract.ApplyTreatment, req.Tenant, req.CallUUID, node, req)
		s.svc.m.tlib.Observe(float64(time.Since(began).Microseconds()) / 1000)
		s.moved(req.CallUUID, node, at)
		return false, nil, refused(ans, err)
	}
}

// route sends a call from its route point.
func (s *session) route(i *item, to string, ref int64) doing {
	req := &contract.RouteCallRequest{Tenant: s.rec.Tenant, CallUUID: i.ID, ThisDN: i.At, Destination: to, ReferenceID: ref}
	node := i.Node
	return func(ctx context.Context) (bool, map[string]any, error) {
		began := time.Now()
		ans, at, err := atCall(ctx, s.svc, contract.RouteCall, req.Tenant, req.CallUUID, node, req)
		s.svc.m.tlib.Observe(float64(time.Since(began).Microseconds()) / 1000)
		s.moved(req.CallUUID, node, at)
		return false, nil, refused(ans, err)
	}
}

// moved notes that a call was found at another node.
func (s *session) moved(call, from, to string) {
	if from == to {
		return
	}
	s.do(func() {
		if i := s.item(call); i != nil && i.Node == from { // an event may have told since
			i.Node = to
		}
	})
}

// tlib makes the request of T-Library that an action comes to.
func (s *session) tlib(a *asked, i *item) doing {
	q := ixn.Ask(&a.Request)
	if q == nil {
		return func(context.Context) (bool, map[string]any, error) {
			return false, nil, module.Refuse(module.Unsupported, "<%s> is not served", a.Name())
		}
	}
	q.Tenant, q.ReferenceID, q.User = s.rec.Tenant, a.Ref, "script "+s.rec.Script
	if i != nil && i.Voice != nil && a.Action != ixn.Create && a.Action != "userevent" {
		q.ConnID = i.Voice.ConnID
		if q.ThisDN == "" {
			q.ThisDN = party(i)
		}
	}
	return func(ctx context.Context) (bool, map[string]any, error) {
		ans, err := fabric.Call(ctx, s.svc.f, contract.Ask, q)
		if err := refused(ans, err); err != nil {
			return true, nil, err
		}
		return true, map[string]any{"interactionid": orElse(ans.CallUUID, a.Interaction), "connid": ans.ConnID}, nil
	}
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// party is for whom a script acts: the route point where the call is, else who answered it.
func party(i *item) string {
	if i.At != "" {
		return i.At
	}
	for _, p := range i.Parties {
		if p.DN != i.Voice.ANI {
			return p.DN
		}
	}
	return ""
}

// refused reads the answer of a door.
func refused(ans *contract.RequestAnswer, err error) error {
	if err != nil {
		return unavailable(err)
	}
	if ans.Error != nil {
		return refusal(ans.Error)
	}
	return nil
}

// submit looks for somebody who takes the interaction: the numbers named directly, one after the other, else whom the router chooses.
func (s *session) submit(a *asked, i *item) doing {
	q, err := queue.Asks(&a.Request)
	if err != nil {
		return func(context.Context) (bool, map[string]any, error) { return false, nil, err }
	}
	if slices.ContainsFunc(q.Targets, func(t contract.QueueTarget) bool { return !queue.Direct(t) }) {
		q.Tenant, q.Node, q.Session, q.Media, q.Exclude, q.UserData = s.rec.Tenant, s.svc.f.Node(), s.rec.ID, i.Media, s.rec.Exclude, i.UserData
		q.Since = s.rec.Start
		s.post(a.Accepted())
		return func(ctx context.Context) (bool, map[string]any, error) {
			_, err := fabric.Call(ctx, s.svc.f, contract.QueueSubmit, q)
			return false, nil, unavailable(err)
		}
	}
	to := q.Targets[a.Try%len(q.Targets)].Name
	if !q.Route {
		return func(context.Context) (bool, map[string]any, error) { return true, selected(a, to), nil }
	}
	if a.Try == 0 {
		s.post(a.Accepted())
	}
	return s.route(i, to, a.Ref)
}

// selected is what queue.submit.done tells.
func selected(a *asked, to string) map[string]any {
	return map[string]any{
		"targetselected": to + "@parley.DN", "targetcomponentselected": to, "targetobjectselected": to, "vqselected": a.Text("queue"),
		"resource": map[string]any{"dn": to},
	}
}

// roundPause is how long a submit waits when all numbers it names were busy.
const roundPause = 2 * time.Second

// notRouted is a route that came to nothing. A submit goes on to the next number; when all were tried, they are tried again after a while, as long
// as it has time.
func (s *session) notRouted(a *asked, why error) {
	if a.Name() != "queue.submit" || s.item(a.Interaction) == nil {
		s.answer(a, nil, why)
		return
	}
	q, err := queue.Asks(&a.Request)
	if err != nil {
		s.answer(a, nil, err)
		return
	}
	if slices.ContainsFunc(q.Targets, func(t contract.QueueTarget) bool { return !queue.Direct(t) }) {
		s.answer(a, nil, why) // whom the router chose did not take it, or there is no router
		return
	}
	a.Try++
	a.Ref, a.Sent, a.Due = newRef(), false, time.Time{}
	if a.Try%len(q.Targets) != 0 {
		return
	}
	now := s.svc.now()
	if a.Until.IsZero() || !now.Add(roundPause).Before(a.Until) {
		s.answer(a, nil, why)
		return
	}
	a.Due = now.Add(roundPause)
}

// routed is a call that somebody took.
func (s *session) routed(a *asked, dn string) {
	if a.Name() == "queue.submit" {
		s.answer(a, selected(a, dn), nil)
		return
	}
	s.answer(a, map[string]any{"destination": dn}, nil)
}

// expire gives up submits whose time is over, and tells whether requests have to be looked at.
func (s *session) expire(now time.Time) (due bool) {
	for _, a := range slices.Clone(s.rec.Asked) {
		due = due || !a.Due.IsZero() && !now.Before(a.Due)
		if !a.Until.IsZero() && !now.Before(a.Until) {
			due = true
			s.withdraw(a)
			s.answer(a, nil, module.Refuse(module.Timeout, "nobody took the interaction in time"))
		}
	}
	return due
}

// wishOf is the submit that a request is about: the one it names, else the interaction's.
func (s *session) wishOf(a *asked) string {
	for _, name := range []string{"submitid", "reqid"} {
		if id := a.Text(name); id != "" {
			return id
		}
	}
	for _, b := range s.rec.Asked {
		if b.Name() == "queue.submit" && b.Interaction == a.Interaction {
			return b.ID
		}
	}
	return ""
}

func (s *session) cancelWish(a *asked) error {
	b := s.find(s.wishOf(a))
	if b == nil || b.Name() != "queue.submit" {
		return module.Refuse(module.InvalidParameter, "there is no submit to cancel")
	}
	s.withdraw(b)
	s.answer(b, nil, module.Refuse(module.Cancelled, "the script cancelled it"))
	return nil
}

// updateWish changes what a submit asks for, from its next attempt on.
func (s *session) updateWish(a *asked) error {
	b := s.find(s.wishOf(a))
	if b == nil || b.Name() != "queue.submit" {
		return module.Refuse(module.InvalidParameter, "there is no submit to update")
	}
	args := map[string]any{}
	for k, v := range b.Args {
		args[k] = v
	}
	for k, v := range a.Args {
		if k != "submitid" && k != "reqid" {
			args[k] = v
		}
	}
	changed := b.Request
	changed.Args = args
	if _, err := queue.Asks(&changed); err != nil {
		return err
	}
	b.Args = args
	if t, _ := b.Number("timeout", 0); a.Args["timeout"] != nil && t > 0 {
		b.Until = s.svc.now().Add(time.Duration(t * float64(time.Second)))
	}
	if q, _ := queue.Asks(&b.Request); slices.ContainsFunc(q.Targets, func(t contract.QueueTarget) bool { return !queue.Direct(t) }) {
		b.Sent = false // the router learns of it
	}
	return nil
}

// withdraw tells the router that nobody is looked for any more.
func (s *session) withdraw(a *asked) {
	q, err := queue.Asks(&a.Request)
	if err != nil || !slices.ContainsFunc(q.Targets, func(t contract.QueueTarget) bool { return !queue.Direct(t) }) {
		return
	}
	req := &contract.QueueCancelRequest{Tenant: s.rec.Tenant, Session: s.rec.ID, Request: a.ID}
	s.svc.background(func(ctx context.Context) { _, _ = fabric.Call(ctx, s.svc.f, contract.QueueCancel, req) }, func() {})
}

// cancelWishes withdraws all submits of an interaction.
func (s *session) cancelWishes(interaction string) {
	for _, a := range s.rec.Asked {
		if a.Interaction == interaction && a.Name() == "queue.submit" {
			s.withdraw(a)
		}
	}
}

// QueueAnswer answers the door contract.QueueAnswer: the router chose somebody, or gave up.
func (svc *Service) QueueAnswer(_ context.Context, q *contract.QueueSelected) (struct{}, error) {
	s := svc.session(q.Tenant, q.Session)
	if s == nil {
		return struct{}{}, voice.Errorf(voice.ErrNotFound, "no session %s here", q.Session)
	}
	s.do(func() {
		a := s.find(q.Request)
		i := (*item)(nil)
		if a != nil {
			i = s.item(a.Interaction)
		}
		switch {
		case a == nil || i == nil:
		case q.Error != "":
			s.answer(a, nil, module.Refuse(q.Error, "%s", q.Why))
		case !a.Flag("route", true) || i.At == "":
			data := selected(a, q.DN)
			for k, v := range map[string]string{"targetselected": q.Target, "targetcomponentselected": q.Component, "targetobjectselected": q.Object, "vqselected": q.Queue} {
				if v != "" {
					data[k] = v
				}
			}
			data["resource"] = map[string]any{"dn": q.DN, "agent": q.Agent, "place": q.Place}
			s.answer(a, data, nil)
		default:
			a.Ref = newRef()
			work, id, ref := s.route(i, q.DN, a.Ref), a.ID, a.Ref
			s.svc.background(func(ctx context.Context) {
				_, _, err := work(ctx)
				if err == nil {
					return
				}
				s.do(func() {
					if b := s.find(id); b != nil && b.Ref == ref {
						s.notRouted(b, err)
					}
				})
			}, func() {})
		}
	})
	return struct{}{}, nil
}

// fetchFor does session.fetch.
func (svc *Service) fetchFor(ctx context.Context, r *module.Request) (map[string]any, error) {
	seconds, _ := r.Number("timeout", svc.cfg.FetchTimeout.Seconds())
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
	defer cancel()
	address, method := modsession.Source(r), modsession.Method(r)
	header := http.Header{}
	if list, ok := r.Args["headers"].(map[string]any); ok {
		for k, v := range list {
			header.Set(k, scxml.Text(v))
		}
	}
	body, kind := fetchBody(r)
	if kind != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", kind)
	}
	if method == http.MethodGet && body != nil { // its parameters are those of the address
		u, err := url.Parse(address)
		if err != nil {
			return nil, module.Refuse(module.InvalidParameter, "%v", err)
		}
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += string(body)
		address, body = u.String(), nil
	}
	started := svc.now()
	a, err := svc.fetch.ask(ctx, method, address, header, body)
	svc.m.fetched(err, a, svc.now().Sub(started))
	if errors.Is(err, errInternal) {
		return nil, module.Refuse("forbidden", "%v", err)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	hints := map[string]any{"status": float64(a.status)}
	headers := map[string]any{}
	for k := range a.header {
		headers[k] = a.header.Get(k)
	}
	hints["headers"] = headers
	if a.status >= 400 {
		return nil, module.Refuse("status."+http.StatusText(a.status), "%s answers %d", address, a.status)
	}
	var content any = string(a.body)
	var parsed any
	if json.Unmarshal(a.body, &parsed) == nil {
		content = parsed
	}
	return map[string]any{"content": content, "hints": hints, "status": float64(a.status)}, nil
}

// fetchBody is what a fetch sends: a form of an object, or JSON where the script says so; text as it is.
func fetchBody(r *module.Request) (body []byte, kind string) {
	enc := r.Text("enctype")
	if enc == "" {
		enc = r.Text("type")
	}
	switch v := r.Args["content"].(type) {
	case nil:
		return nil, ""
	case map[string]any:
		if modsession.Method(r) != http.MethodGet && (enc == "" || enc == "application/json" || enc == "json") {
			b, _ := json.Marshal(v)
			return b, "application/json"
		}
		form := url.Values{}
		for k, e := range v {
			form.Set(k, scxml.Text(e))
		}
		return []byte(form.Encode()), "application/x-www-form-urlencoded"
	default:
		return []byte(scxml.Text(v)), orElse(enc, "text/plain; charset=utf-8")
	}
}

// resourceFor does resource.get.
func (svc *Service) resourceFor(ctx context.Context, tenant string, kind voice.Kind, name string) (map[string]any, error) {
	switch kind { // no person, no number: what they have is not for scripts
	case voice.KindList, voice.KindBusinessHours, voice.KindSkill:
	default:
		return nil, module.Refuse("forbidden", "scripts may read lists, business_hours and skills, not %q", kind)
	}
	var body map[string]any
	if _, err := svc.book.resource(ctx, tenant, kind, name, &body); err != nil {
		return nil, unavailable(err)
	}
	return map[string]any{"value": body}, nil
}
