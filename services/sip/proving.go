package sip

import (
	"strconv"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
	"parley/internal/sipua/digest"
	"parley/services/sip/trunk"
)

// A trunk may ask who we are, about the INVITE and about every request within the dialog (RFC 3261 §22). Once asked, later requests
// bring credentials at once.

// proof is what answers the challenges of a branch's dialog; nil where nobody may ask.
func (b *branch) proof() *trunk.Proof {
	if b.exit == nil {
		return nil
	}
	return b.exit.Account.Proof()
}

// proves sends the INVITE of a branch again when res asks who we are, and that can be said.
func (c *call) proves(b *branch, res *sip.Response) bool {
	if b.exit == nil || b.exit.Account == nil || b.invite == nil || digest.ChallengeHeader(res.StatusCode) == "" {
		return false
	}
	if b.origin.proof.Challenged(b.invite, res) && c.again(b, b.origin.proof.Sign) {
		return true
	}
	b.exit.Said(res.StatusCode)
	return false
}

// send sends a request within a dialog. If the other side asks who we are, it goes again with credentials, and on gets what
// comes of that.
func (c *call) send(l *leg, req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error) {
	if l.proof == nil {
		return c.w.send(req, on)
	}
	s := &signed{c: c, leg: l, on: on}
	return s, s.send(req)
}

// signed is a request that may have to be sent again.
type signed struct {
	sipua.ClientTx // of the last time
	c              *call
	leg            *leg
	on             func(*sip.Response, error)
	tries          int
}

func (s *signed) send(req *sip.Request) error {
	tx, err := s.c.w.send(req, func(res *sip.Response, err error) {
		if err == nil && (res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired) {
			s.c.must(func() {
				if !s.again(req, res) {
					s.on(res, nil)
				}
			})
			return
		}
		s.on(res, err)
	})
	if err == nil {
		s.ClientTx = tx
	}
	return err
}

// again sends the request with credentials, if res can be met.
func (s *signed) again(req *sip.Request, res *sip.Response) bool {
	if s.tries == maxTries || !s.leg.proof.Challenged(req, res) {
		return false
	}
	s.tries++
	s.leg.seq++
	next := req.Clone()
	next.ReplaceHeader(sip.NewHeader("CSeq", strconv.FormatUint(uint64(s.leg.seq), 10)+" "+string(req.Method)))
	next.Via().Params.Remove("branch")
	next.Via().Params.Add("branch", "z9hG4bK"+s.c.w.id())
	s.leg.proof.Sign(next)
	return s.send(next) == nil
}
