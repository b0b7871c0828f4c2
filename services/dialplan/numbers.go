package dialplan

import (
	"log/slog"
	"strconv"
	"sync"

	"parley/internal/contract"
	"parley/internal/voice"
)

// section of a number's options that the dial plan reads.
const section = "TServer"

// anyContact as the contact of a device means that it registers.
const anyContact = "*"

// device is what the options of a number say to the dial plan. It is shared: read only.
type device struct {
	contact  string // fixed SIP URI; "" = as registered
	through  string // softswitch that its calls go through; "" = none
	profile  string // calling profile; "" = that of its group
	always   string // forwarding, see forwardTo
	busy     string
	noAnswer string
	offline  string
	dnd      bool // calls to it are busy
	ring     int  // seconds; 0 = as the node does
	options  map[string]string
}

// finder tells what a number is.
type finder interface {
	find(tenant, number string) (voice.DNType, *device, bool)
	// tenantOptions are those of a tenant: read only.
	tenantOptions(tenant string) map[string]string
}

// numbers finds numbers in the Directory and remembers what their options say, as the Directory decodes them each time.
type numbers struct {
	dir Directory
	log *slog.Logger

	mu    sync.RWMutex // guards known
	known map[numberKey]understood
}

type numberKey struct{ tenant, number string }

// understood is what a record says; another record under the same number is another one's word.
type understood struct {
	record *contract.DNRecord
	device *device
}

// plainDevice is what nearly all extensions are, so that they share it.
var plainDevice = device{options: map[string]string{voice.OptionContact: anyContact}}

func newNumbers(dir Directory, log *slog.Logger) *numbers {
	return &numbers{dir: dir, log: log, known: map[numberKey]understood{}}
}

func (n *numbers) find(tenant, number string) (voice.DNType, *device, bool) {
	rec, ok := n.dir.DN(tenant, number)
	if !ok {
		return "", nil, false
	}
	n.mu.RLock()
	u := n.known[numberKey{tenant, number}]
	n.mu.RUnlock()
	if u.record != rec {
		u = understood{rec, n.understand(rec)}
		n.mu.Lock()
		n.known[numberKey{rec.Tenant, rec.Number}] = u
		n.mu.Unlock()
	}
	return rec.Type, u.device, true
}

func (n *numbers) tenantOptions(tenant string) map[string]string {
	if t, ok := n.dir.Tenant(tenant); ok {
		return t.Options
	}
	return nil
}

// forget drops what is remembered of a number, or of all.
func (n *numbers) forget(tenant, number string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number == "" {
		clear(n.known)
		return
	}
	delete(n.known, numberKey{tenant, number})
}

func (n *numbers) understand(rec *contract.DNRecord) *device {
	all, err := rec.Options()
	if err != nil {
		n.log.Error("options of a number cannot be read", "tenant", rec.Tenant, "dn", rec.Number, "err", err)
	}
	return newDevice(rec.Number, all[section])
}

func newDevice(number string, o map[string]string) *device {
	if len(o) == 1 && o[voice.OptionContact] == anyContact {
		return &plainDevice
	}
	d := &device{
		profile: o[voice.OptionCallingProfile], through: o[voice.OptionSoftswitch], options: o,
		always:   forwardTo(number, o[voice.OptionForwardAlways]),
		busy:     forwardTo(number, o[voice.OptionForwardBusy]),
		noAnswer: forwardTo(number, o[voice.OptionForwardNoAnswer]),
		offline:  forwardTo(number, o[voice.OptionForwardOffline]),
		dnd:      o[voice.OptionDoNotDisturb] == "true",
	}
	d.ring, _ = strconv.Atoi(o[voice.OptionNoAnswerTimeout]) // checked by the config service; else 0
	if c := o[voice.OptionContact]; c != anyContact {
		d.contact = c
	}
	return d
}

// forwardTo is the number that a forwarding option of number says, in the form that Resolve takes: "voicemail" becomes
// the mailbox meant.
func forwardTo(number, option string) string {
	if option == voice.ForwardVoicemail {
		return contract.MailboxPrefix + number
	}
	return option
}
