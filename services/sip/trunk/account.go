package trunk

import (
	"fmt"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua/digest"
)

// Account is who we are to a trunk that challenges us.
type Account struct{ trunk *Trunk }

// Session begins to answer challenges, for one dialog. An error says that the password cannot be read.
func (a *Account) Session() (*digest.Session, error) {
	tr := a.trunk
	link := tr.table.link.Load()
	if link == nil || link.Open == nil {
		return nil, fmt.Errorf("%w: the node is not ready", ErrUnknown)
	}
	o := &tr.Options
	password, err := link.Open(o.AuthPassword, tr.Tenant, tr.DN)
	if err != nil {
		return nil, fmt.Errorf("auth-password of trunk %s: %w", tr.DN, err)
	}
	return &digest.Session{Identity: digest.Identity{User: o.AuthUser, Password: password, Realm: o.AuthRealm}}, nil
}

// Authorize puts what s knows into a request, in place of what may be there.
func Authorize(s *digest.Session, req *sip.Request) {
	req.RemoveHeader("Authorization")
	req.RemoveHeader("Proxy-Authorization")
	for _, f := range s.Credentials(string(req.Method), req.Recipient.String()) {
		req.AppendHeader(sip.NewHeader(f.Name, f.Value))
	}
}

// Challenges are the challenges of a response.
func Challenges(res *sip.Response) (out []string) {
	for _, h := range res.GetHeaders(digest.ChallengeHeader(res.StatusCode)) {
		out = append(out, h.Value())
	}
	return out
}
