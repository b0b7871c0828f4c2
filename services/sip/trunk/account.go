package trunk

import (
	"fmt"
	"log/slog"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// Account is who we are to a trunk that challenges us.
type Account struct {
	identity func() (digest.Identity, error)
	log      *slog.Logger
}

// NewAccount returns an Account whose identity is asked for when a challenge comes.
func NewAccount(identity func() (digest.Identity, error), log *slog.Logger) *Account {
	return &Account{identity, log}
}

// identity is what the options of the trunk say of us.
func (tr *Trunk) identity() (digest.Identity, error) {
	link, o := tr.table.link.Load(), &tr.Options
	if link == nil {
		return digest.Identity{}, errNotReady
	}
	password, err := link.Open(o.AuthPassword, tr.Tenant, tr.DN)
	if err != nil {
		return digest.Identity{}, fmt.Errorf("option %s: %w", voice.OptionAuthPassword, err)
	}
	return digest.Identity{User: o.AuthUser, Password: password, Realm: o.AuthRealm}, nil
}

// Proof begins to prove who we are, for one dialog or one request outside of any.
func (a *Account) Proof() *Proof {
	if a == nil {
		return nil
	}
	return &Proof{account: a}
}

// Proof answers the challenges of one dialog, and lets later requests bring credentials at once. A nil Proof proves nothing. It is for one
// goroutine at a time.
type Proof struct {
	account *Account
	session *digest.Session // nil until the first challenge
	invite  []digest.Field  // what the last INVITE brought, for its ACK (RFC 3261 §22.1)
}

// Sign puts what is known into a request, in place of what may be there. An ACK gets what its INVITE had.
func (p *Proof) Sign(req *sip.Request) {
	if p == nil || p.session == nil {
		return
	}
	req.RemoveHeader("Authorization")
	req.RemoveHeader("Proxy-Authorization")
	fields := p.invite
	if !req.IsAck() {
		fields = p.session.Credentials(string(req.Method), req.Recipient.String())
	}
	if req.IsInvite() {
		p.invite = fields
	}
	for _, f := range fields {
		req.AppendHeader(sip.NewHeader(f.Name, f.Value))
	}
}

// Challenged takes the answer to req. True says that it is a challenge and that it can be met: Sign a copy of req and
// send that. The same challenge again, unless its nonce was too old, says that the credentials are wrong.
func (p *Proof) Challenged(req *sip.Request, res *sip.Response) bool {
	name := digest.ChallengeHeader(res.StatusCode)
	if p == nil || name == "" {
		return false
	}
	log := p.account.log.With("method", string(req.Method))
	if p.session == nil {
		id, err := p.account.identity()
		if err != nil {
			log.Error("a trunk asks who we are, which cannot be said", "err", err)
			return false
		}
		p.session = &digest.Session{Identity: id}
	}
	var values []string
	for _, h := range res.GetHeaders(name) {
		values = append(values, h.Value())
	}
	credentials := "Authorization"
	if res.StatusCode == sip.StatusProxyAuthRequired {
		credentials = "Proxy-Authorization"
	}
	if err := p.session.Challenged(res.StatusCode, values, req.GetHeader(credentials) != nil); err != nil {
		log.Warn("a trunk does not believe who we are", "status", res.StatusCode, "err", err)
		return false
	}
	return true
}
