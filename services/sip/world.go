package sip

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	sound "parley/internal/media/audio"
	"parley/internal/media/secure"
	"parley/internal/sipua"
	"parley/internal/voice"
	"parley/services/sip/recording"
	"parley/services/sip/room"
	"parley/services/sip/treatment"
	"parley/services/sip/trunk"
)

// world is all that a call knows of what is outside of it. Callbacks come back through the call's mailbox; whoever implements
// it must not call them before the method has returned.
type world interface {
	now() time.Time
	// id returns a token nobody has had before: for tags, branches, Call-IDs.
	id() string
	after(d time.Duration, fn func()) (stop func())

	send(req *sip.Request, on func(*sip.Response, error)) (sipua.ClientTx, error)
	ack(req *sip.Request)

	resolve(req *contract.ResolveRequest, on func(*contract.ResolveResponse, error))
	bindings(tenant, dn string, on func([]contract.Binding, error))
	// route returns the Route value by which a contact is reached, "" when there is no way, and the host that is there.
	route(b *contract.Binding) (route string, host netip.Addr)
	// mediaLeg returns a leg for the audio of a side, and how to name ourselves to a peer there; nil when there are none. The
	// hooks are told when a peer that should send has sent nothing for long, and when a key was pressed.
	mediaLeg(h legHooks) (leg mediaLeg, host func(netip.Addr) (netip.Addr, error), err error)
	// join lets two legs hear each other, part ends that.
	join(a, b mediaLeg)
	part(l mediaLeg)
	// merge has the calls of both mailboxes handled by one from then on, and calls then.
	merge(into, from *mailbox, then func())

	// tape begins a recording, or says why there is none; done is told its ledger once it has ended, from anywhere.
	tape(of recording.Call, done func(voice.RecordingLedger)) (taper, error)
	// warning is what those hear who are recorded, first or again, nil for nothing; again says when the next one follows, 0 for never.
	warning(tenant string, first bool) (src func() sound.Source, again time.Duration)

	// monitored tells who wants to be in the calls of a DN; supervised notes that the
	// supervisor is called, supervisionOver that he has left or did not come.
	monitored(tenant, dn string) (monitor, bool)
	supervised(m *monitor)
	supervisionOver(m *monitor)

	// device tells how a number of a tenant is configured; transport is what it registered or called by, "" = not known.
	device(tenant, number, transport string) device
	// identity is who we are in handshakes.
	identity() *secure.Identity
	// shook notes how a handshake for the audio of a side ended. It may be called from any goroutine.
	shook(callUUID string, s side, err error)
	// holdMusic opens what a party on hold hears; nil = there is none.
	holdMusic(tenant string) sound.Source

	// enterRoom puts a party of the call into a conference, exitRoom takes all of them out.
	enterRoom(e room.Entry) error
	exitRoom(callUUID string) (was bool)
	// What a caller at a route point hears; an error is a sentence for whoever asked for it.
	tone(tenant string, t voice.TreatmentType) sound.Source // of RingBack, Busy, FastBusy; silence of any other
	musicNamed(tenant, language, name string) (sound.Source, error)
	piece(tenant, language string, p *treatment.Piece) (sound.Source, error)
	sorry(tenant string) (sound.Source, error) // nobody can help him
	beep() sound.Source
	// mayRecord tells why a user's announcement cannot be recorded. tapeUser begins to; done is told how long it became and
	// whether it was kept, from anywhere.
	mayRecord(tenant, user string) error
	tapeUser(tenant string, r *treatment.Recording, done func(length time.Duration, kept bool, err error)) (*tape, error)
	count(what counted, tenant string)

	// load is what a number of ours does, grouped how a ring group's attempt ended.
	load(tenant, number string) load
	// ringing returns the ConnIDs of calls that ring at a number, or for "" at numbers in the pick-up group of another one.
	ringing(tenant, number, groupOf string) []string
	// request has the front end carry a request out.
	request(req *voice.Request, on func(*contract.RequestAnswer, error))
	grouped(r groupResult)

	publish(ev *voice.CallEvent)
	record(cdr *voice.CDR)
	heard(ev *voice.QualityEvent)

	// leave gives the call its way out by a trunk, or says why there is none.
	leave(l *trunk.Leaving) (*trunk.Exit, error)

	// more makes another call of the node that belongs to c, with an identity of its own; an error says why there cannot be one.
	more(c *call) (*call, error)
	// rename has the names of a call's conversation stand for it.
	rename(c *call)
	// autoAnswers tells whether the phone of a number shall answer by itself when a call is made for it, talks whether it can be told to.
	autoAnswers(tenant, number string) bool
	talks(tenant, number string) bool
	changeRoom(req contract.ChangeConferenceRequest) error
	// named returns a call in progress by the ConnID or UUID of its conversation, or by the Call-ID of a dialog; nil = there is none here.
	named(tenant, name string) *call
	inDialog(callID string) *call

	// open makes requests with that Call-ID reach the call, shut ends it.
	open(callID string, c *call)
	shut(callID string)
	// ended takes the call out of the node's count.
	ended(c *call)
}
