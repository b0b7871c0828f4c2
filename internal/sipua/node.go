package sipua

import "github.com/emiago/sipgo/sip"

// Header fields that the front door writes for the SIP node of its process. It takes them off everything that comes from
// outside, other nodes included: what those say is in a [Pass].
const (
	HeaderTenant = "X-Parley-Tenant" // tenant the request belongs to, by the host it was sent to
	HeaderSource = "X-Parley-Source" // where it came from: transport:address:port
)

// Node is a SIP node in the process of the front door. Its methods are called in the order of the messages of a
// Call-ID and must not wait: a node hands the message to the goroutine of the call.
type Node interface {
	// ServeSIP gets a request, which the node owns from then on. tx takes the answers; it is nil for an ACK.
	ServeSIP(req *sip.Request, tx ServerTx)
	// CancelSIP says that the INVITE of tx is cancelled; the node still has to answer it, with 487 as a rule. reason is the
	// Reason of the CANCEL (RFC 3326), "" when it had none.
	CancelSIP(tx ServerTx, reason string)
	// Load says how much the node has to do. It is asked for each new dialog and must be quick.
	Load() Load
}

// Load is how much a SIP node has to do.
type Load struct {
	Calls    int  // calls in progress
	Capacity int  // calls it takes at most; 0 = no limit
	Draining bool // no new calls, because it stops or has not started yet
}

// ServerTx is a request the front door wants answered. It may be used from any goroutine.
type ServerTx interface {
	// Respond sends a response made by sip.NewResponseFromRequest from the request. The front door repeats a final response to
	// the peer as needed; only a 2xx to an INVITE is the node's to repeat until the ACK (RFC 3261 §13.3.1.4).
	Respond(res *sip.Response)
	// Done is closed when nobody waits for an answer any more.
	Done() <-chan struct{}
}

// Sender is the front door as a node in its process sees it: the way to phones. A request says where it goes by
// a Route with a token (see [Tokens]): the one a binding gives, or those of the dialog.
type Sender interface {
	// Send sends a complete request (with Via, as the node's own hop) and calls on with each response in order, 2xx
	// repetitions included, or once with an error and no response when none will come. on must not wait.
	Send(req *sip.Request, on func(*sip.Response, error)) (ClientTx, error)
	// SendAck sends the ACK to a 2xx.
	SendAck(req *sip.Request) error
}

// ClientTx is a request under way. It may be used from any goroutine.
type ClientTx interface {
	// Cancel asks that an INVITE be given up; its final response still comes. reason goes into the CANCEL's Reason
	// (RFC 3326); "" = none.
	Cancel(reason string)
}
