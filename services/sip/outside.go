package sip

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/media"
	sound "parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/media/secure"
	"parley/internal/sipua"
	"parley/internal/sipua/transport"
	"parley/internal/voice"
	"parley/services/sip/trunk"
)

// outside is the Service as a call sees it: the real world.
type outside Service

func (o *outside) now() time.Time { return time.Now() }
func (o *outside) id() string     { return random(8) }

func (o *outside) after(d time.Duration, fn func()) (stop func()) {
	t := time.AfterFunc(d, fn)
	return func() { t.Stop() }
}

func (o *outside) send(req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error) {
	sent, heard := time.Now(), false // on is called by one goroutine at a time
	return o.sender.Send(req, func(res *sip.Response, err error) {
		if !heard && err == nil {
			heard = true
			o.m.response.Observe(float64(time.Since(sent)) / float64(time.Millisecond))
		}
		on(res, err)
	})
}

func (o *outside) ack(req *sip.Request) {
	if err := o.sender.SendAck(req); err != nil {
		o.log.Debug("ACK not sent", "err", err) // the peer repeats its 2xx, and the ACK goes again
	}
}

// ask calls a door: at once where it is served here, since that waits for nothing, else on a goroutine.
func ask[Req, Resp any](o *outside, door fabric.Door[Req, Resp], req Req, on func(Resp, error)) {
	do := func(ctx context.Context) { on(fabric.Call(ctx, o.f, door, req)) }
	if fabric.Local(o.f, door) {
		do(o.run)
		return
	}
	go do(o.run)
}

func (o *outside) resolve(req *contract.ResolveRequest, on func(*contract.ResolveResponse, error)) {
	asked := time.Now()
	ask(o, contract.Resolve, req, func(r *contract.ResolveResponse, err error) {
		o.m.dialplan.answered(r, err, time.Since(asked))
		on(r, err)
	})
}

func (o *outside) leave(l *trunk.Leaving) (*trunk.Exit, error) { return o.trunks.Leave(*l) }

func (o *outside) bindings(tenant, dn string, on func([]contract.Binding, error)) {
	ask(o, contract.Bindings, contract.BindingsRequest{Tenant: tenant, DN: dn}, func(r contract.BindingsResponse, err error) {
		on(r.Bindings, err)
	})
}

// route writes the way to a contact as a token that the front doors of the cluster understand.
func (o *outside) route(b *contract.Binding) (string, netip.Addr) {
	tokens := o.tokens.Load()
	if tokens == nil {
		return "", netip.Addr{}
	}
	f := sipua.Flow{Door: b.Node, Transport: transport.Transport(b.Transport), ID: b.Flow, Node: o.f.Node()}
	if f.Door == "" {
		f.Door = o.f.Node()
	}
	if f.Transport == "" {
		f.Transport = transport.UDP
	}
	at := b.Received
	if at == "" && b.Flow == "" {
		if !byUDP(b.Contact) {
			return "", netip.Addr{}
		}
		at = addressOf(b.Contact)
	}
	remote, err := netip.ParseAddrPort(at)
	if err != nil && f.ID == "" {
		return "", netip.Addr{}
	}
	f.Remote = remote
	return "<sip:" + tokens.Encode(f) + "@" + nodeHost + ";lr>", remote.Addr()
}

func (o *outside) mediaLeg(h legHooks) (mediaLeg, func(netip.Addr) (netip.Addr, error), error) {
	if o.plane == nil {
		return nil, nil, nil
	}
	l, err := o.plane.Open(media.Hooks{
		Silence: func(time.Duration) { h.silence() },
		Digit: func(d media.Digit) {
			if d.Key != 0 {
				h.key(d.Key)
			}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return l, o.plane.HostFor, nil
}

func (o *outside) join(a, b mediaLeg) {
	x, ok := a.(*media.Leg)
	y, ok2 := b.(*media.Leg)
	if ok && ok2 {
		media.Join(x, y)
	}
}

func (o *outside) part(l mediaLeg) {
	if x, ok := l.(*media.Leg); ok {
		x.Part()
	}
}

func (o *outside) merge(into, from *mailbox, then func()) { go merge(&o.merging, into, from, then) }

func (o *outside) named(tenant, name string) *call { return (*Service)(o).find(tenant, name, "") }

func (o *outside) inDialog(callID string) *call {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dialogs[callID]
}

func (o *outside) rename(c *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[c.conv.id.uuid], o.names[c.conv.id.conn] = c, c
}

func (o *outside) changeRoom(req contract.ChangeConferenceRequest) error { return o.rooms.Change(req) }

// autoAnswers: phones that are told to by the INVITE, unless an option says that this one is not.
func (o *outside) autoAnswers(tenant, number string) bool {
	return !strings.EqualFold(o.option(tenant, number, voice.OptionAutoAnswer), "false")
}

func (o *outside) talks(tenant, number string) bool {
	for how := range strings.SplitSeq(o.option(tenant, number, voice.OptionCTIControl), ",") {
		if strings.EqualFold(strings.TrimSpace(how), "talk") {
			return true
		}
	}
	return false
}

// option is what a number's section TServer says.
func (o *outside) option(tenant, number, name string) string {
	if r, ok := o.dir.DN(tenant, number); ok {
		if all, err := r.Options(); err == nil {
			return all["TServer"][name]
		}
	}
	return ""
}

// more makes a call beside one there is, which counts as one more of the node and its tenant.
func (o *outside) more(c *call) (*call, error) {
	id := random(16)
	n := &call{
		mailbox: c.mailbox, w: c.w, cfg: c.cfg, domain: c.domain, contact: "<sip:" + id + "@" + o.contact + ">",
		id: identity{uuid: id, conn: random(8), number: o.number.Add(1), tenant: c.id.tenant, node: c.id.node, kind: c.conv.id.kind},
	}
	n.keep = c.keep
	return n, (*Service)(o).admitMore(n)
}

func (o *outside) identity() *secure.Identity { return o.keys }

func (o *outside) shook(callUUID string, s side, err error) {
	if err == nil {
		o.m.handshakes.WithLabelValues("keys").Inc()
		return
	}
	// A stranger's attempt is such an error too, which is why it is no warning.
	o.m.handshakes.WithLabelValues("failed").Inc()
	o.log.Info("no keys for audio", "call", callUUID, "side", s.String(), "err", err)
}

func (o *outside) holdMusic(tenant string) sound.Source {
	clip, err := o.prompts.Clip(tenant, prompt.DefaultLanguage, prompt.OnHold)
	if err != nil {
		o.log.Warn("no music on hold", "tenant", tenant, "err", err)
		return nil
	}
	return play.New(clip).Loop(play.Forever)
}

// byUDP tells whether a fixed contact is reached by datagram. Other ways need a connection, which nobody has opened.
func byUDP(contact string) bool {
	var u sip.Uri
	if sip.ParseUri(contact, &u) != nil || strings.EqualFold(u.Scheme, "sips") {
		return false
	}
	t, ok := u.UriParams.Get("transport")
	return !ok || strings.EqualFold(t, "udp")
}

// addressOf is the address of a contact that is not a name.
func addressOf(contact string) string {
	var u sip.Uri
	if sip.ParseUri(contact, &u) != nil {
		return ""
	}
	port := u.Port
	if port == 0 {
		port = 5060
	}
	return net.JoinHostPort(u.Host, strconv.Itoa(port))
}

func (o *outside) publish(e *voice.CallEvent) {
	err := o.f.Publish(fabric.Event{
		Subject: fabric.Subject("call", e.Tenant, e.CallUUID, string(e.ID)),
		MsgID:   e.CallUUID + ":" + strconv.FormatUint(e.Seq, 10),
		Payload: e,
	})
	if err != nil {
		o.m.eventsLost.Inc()
		o.log.Error("call event lost", "call", e.CallUUID, "event", e.ID, "err", err)
		return
	}
	o.m.events.WithLabelValues(e.Tenant, string(e.ID)).Inc()
	if e.ID == voice.EventQueued {
		o.work(e)
	}
}

// work asks an orchestration node to look after a call that came to a route point.
func (o *outside) work(e *voice.CallEvent) {
	err := o.f.Publish(fabric.Event{
		Subject: fabric.Subject("work", e.Tenant, voice.WorkVoice, e.CallUUID),
		MsgID:   "work:" + e.CallUUID + ":" + strconv.FormatUint(e.Seq, 10),
		Payload: voice.WorkItem{Tenant: e.Tenant, Kind: voice.WorkVoice, ID: e.CallUUID, Queue: e.ThisQueue, Seq: e.Seq, Time: e.Time, Node: e.Node},
	})
	if err != nil { // it will go to the default destination
		o.m.eventsLost.Inc()
		o.log.Error("call at a route point is not on WORK", "call", e.CallUUID, "route_point", e.ThisQueue, "err", err)
	}
}

func (o *outside) load(tenant, number string) (l load) {
	l.calls, l.free = o.watch.Load(tenant, number)
	return l
}

func (o *outside) ringing(tenant, number, groupOf string) (conns []string) {
	if number != "" {
		return o.watch.Ringing(tenant, func(at string) bool { return at == number })
	}
	group := o.option(tenant, groupOf, voice.OptionPickUpGroup)
	if group == "" {
		return nil
	}
	return o.watch.Ringing(tenant, func(at string) bool { return o.option(tenant, at, voice.OptionPickUpGroup) == group })
}

func (o *outside) request(req *voice.Request, on func(*contract.RequestAnswer, error)) {
	go func() { on(fabric.Call(o.run, o.f, contract.Ask, req)) }() // which writes the configuration
}

func (o *outside) grouped(r groupResult) { o.m.groups.count(r) }

func (o *outside) record(r *voice.CDR) {
	switch r.Outcome {
	case voice.OutcomeAbandoned:
		o.m.abandoned.Add(1)
	case voice.OutcomeRejected, voice.OutcomeFailed:
		o.m.rejected.Add(1)
	}
	err := o.f.Publish(fabric.Event{Subject: fabric.Subject("cdr", r.Tenant, r.CallUUID), MsgID: r.CallUUID, Payload: r})
	if err != nil {
		o.m.recordsLost.Inc()
		o.log.Error("call record lost", "record", r, "err", err)
	}
}

func (o *outside) open(callID string, c *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dialogs[callID] = c
	o.m.dialogs.Add(1)
}

func (o *outside) shut(callID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.dialogs, callID)
}

func (o *outside) ended(c *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byTenant[c.id.tenant]--; o.byTenant[c.id.tenant] <= 0 {
		delete(o.byTenant, c.id.tenant)
	}
	for _, name := range []string{c.id.uuid, c.id.conn, c.conv.id.uuid, c.conv.id.conn} {
		if o.names[name] == c {
			delete(o.names, name)
		}
	}
	if o.calls.Add(-1) == 0 && o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}
