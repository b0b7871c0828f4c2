package sipproxy

import (
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/sipua"
)

// localNode is an answering user agent as the SIP node in the process: it rings and answers every INVITE at once, says 200 to
// everything else, and 487 to what is cancelled.
type localNode struct {
	mu       sync.Mutex
	requests []*sip.Request
	acked    map[string]bool
	invites  map[sipua.ServerTx]*sip.Request
	unknown  map[string]bool // Call-IDs of dialogs it does not know any more
	hold     bool            // ring, but do not answer
	status   int             // answer INVITEs with this; 0 = 200
	load     sipua.Load
}

func newLocalNode() *localNode {
	return &localNode{acked: map[string]bool{}, invites: map[sipua.ServerTx]*sip.Request{}}
}

func (n *localNode) ServeSIP(req *sip.Request, tx sipua.ServerTx) {
	n.mu.Lock()
	n.requests = append(n.requests, req)
	n.acked[req.CallID().Value()] = n.acked[req.CallID().Value()] || req.IsAck()
	hold, status, unknown := n.hold, n.status, n.unknown[req.CallID().Value()]
	if tx != nil && req.IsInvite() {
		n.invites[tx] = req
	}
	n.mu.Unlock()
	if tx == nil {
		return
	}
	if unknown {
		tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
		return
	}
	if !req.IsInvite() {
		tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
		return
	}
	ringing := sip.NewResponseFromRequest(req, 180, "Ringing", nil)
	tag, _ := ringing.To().Params.Get("tag")
	tx.Respond(ringing)
	if status == 0 {
		status = 200
	}
	if !hold {
		final := sip.NewResponseFromRequest(req, status, "Final", nil)
		final.To().Params.Add("tag", tag)
		final.AppendHeader(sip.NewHeader("Contact", "<sip:node@127.0.0.1:1>"))
		n.repeat(tx, final, 500*time.Millisecond)
	}
}

// repeat sends a final response, and a 200 again until its ACK is there or enough is enough (RFC 3261 §13.3.1.4).
func (n *localNode) repeat(tx sipua.ServerTx, res *sip.Response, again time.Duration) {
	tx.Respond(res)
	if !res.IsSuccess() || again > 8*time.Second {
		return
	}
	time.AfterFunc(again, func() {
		n.mu.Lock()
		acked := n.acked[res.CallID().Value()]
		n.mu.Unlock()
		if !acked {
			n.repeat(tx, res, 2*again)
		}
	})
}

func (n *localNode) Load() sipua.Load {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.load
}

func (n *localNode) CancelSIP(tx sipua.ServerTx, _ string) {
	n.mu.Lock()
	req := n.invites[tx]
	n.mu.Unlock()
	tx.Respond(sip.NewResponseFromRequest(req, 487, "Request Terminated", nil))
}

// got tells whether a request came whose Call-ID starts so.
func (n *localNode) got(callID string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.requests {
		if strings.HasPrefix(r.CallID().Value(), callID) {
			return true
		}
	}
	return false
}

// methods lists what came with a Call-ID, in order.
func (n *localNode) methods(callID string) (out []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.requests {
		if r.CallID().Value() == callID {
			out = append(out, string(r.Method))
		}
	}
	return out
}

// forget makes the node not know a dialog.
func (n *localNode) forget(callID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unknown == nil {
		n.unknown = map[string]bool{}
	}
	n.unknown[callID] = true
}
