package sip

import (
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// sessionTimer is what a leg has agreed about how often its session is refreshed (RFC 4028). Each leg has its own: a
// phone that vanished is noticed on its leg, whatever the other one can do.
type sessionTimer struct {
	interval time.Duration // 0 = the session does not expire
	least    time.Duration // the Min-SE of the peer
	ours     bool          // we refresh; else the peer does
	ends     time.Time     // when the call ends if nothing was refreshed
	stop     func()
}

// shortest is the least that is taken of a peer whose answer goes below what it was offered: refreshing more often would be
// a way to keep us busy.
const shortest = 10 * time.Second

// sessionExpires reads Session-Expires, whose compact form is x (RFC 4028 §4).
func sessionExpires(m sip.Message) (d time.Duration, refresher string, ok bool) {
	h := m.GetHeaders("Session-Expires")
	if len(h) == 0 {
		h = m.GetHeaders("x")
	}
	if len(h) == 0 {
		return 0, "", false
	}
	value, params, _ := strings.Cut(h[0].Value(), ";")
	if d, ok = seconds(value); !ok {
		return 0, "", false
	}
	for p := range strings.SplitSeq(params, ";") {
		if name, who, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(name), "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(who))
		}
	}
	return d, refresher, true
}

// minSE is the Min-SE of a message; 0 when it has none.
func minSE(m sip.Message) time.Duration {
	value, _, _ := strings.Cut(header(m, "Min-SE"), ";")
	d, _ := seconds(value)
	return d
}

// seconds reads delta-seconds; more than a day is a day.
func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return min(time.Duration(n)*time.Second, 24*time.Hour), err == nil
}

func inSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// tooBrief answers a request whose session would expire sooner than we take (RFC 4028 §9); nil when it would not. A peer that does
// not know timers cannot be told.
func (c *Config) tooBrief(req *sip.Request) *sip.Response {
	d, _, ok := sessionExpires(req)
	if !ok || d >= c.MinSE || !wants(req, tagTimer) {
		return nil
	}
	res := sip.NewResponseFromRequest(req, 422, "Session Interval Too Small", nil)
	res.AppendHeader(sip.NewHeader("Min-SE", inSeconds(c.MinSE)))
	return res
}

// askTimer says in a request of ours how often the session is to be refreshed. Once that is agreed the roles stay, and
// leaving the field out would end the agreement (RFC 4028 §7.4).
func (c *call) askTimer(l *leg, req *sip.Request) {
	t := &l.timer
	d := t.interval
	if d == 0 {
		d = c.cfg.SessionExpires
	}
	if d == 0 {
		return
	}
	value := inSeconds(max(d, t.least))
	switch {
	case t.interval == 0: // the peer decides
	case t.ours:
		value += ";refresher=uac"
	default:
		value += ";refresher=uas"
	}
	req.AppendHeader(sip.NewHeader("Session-Expires", value))
	req.AppendHeader(sip.NewHeader("Min-SE", inSeconds(max(c.cfg.MinSE, t.least))))
}

// agreed takes a 2xx to a request of ours. Where the peer knows no timers, we refresh: its silence then shows that it is gone.
func (c *call) agreed(s side, res *sip.Response) {
	l := c.legs[s]
	t := &l.timer
	d, who, ok := sessionExpires(res)
	switch {
	case ok:
		t.interval, t.ours = max(d, shortest), who != "uas"
	case c.cfg.SessionExpires > 0:
		t.interval, t.ours = max(c.cfg.SessionExpires, t.least), true
	default:
		t.interval = 0
	}
	c.startTimer(s)
}

// grant answers in a 2xx what the peer's request asked (RFC 4028 §9): its interval, or ours when that is shorter. A phone
// that knows timers refreshes itself unless it wants us to.
func (c *call) grant(s side, req *sip.Request, res *sip.Response) {
	t := &c.legs[s].timer
	d, who, asked := sessionExpires(req)
	knows, ours := wants(req, tagTimer), max(c.cfg.SessionExpires, minSE(req))
	switch {
	case !asked && c.cfg.SessionExpires == 0:
		t.interval = 0
		c.startTimer(s)
		return
	case !asked:
		d = ours
	case c.cfg.SessionExpires > 0:
		d = min(d, ours)
	}
	if !knows {
		who = "uas"
	} else if who == "" {
		who = "uac"
	}
	t.interval, t.ours = max(d, shortest), who == "uas"
	if knows || asked {
		res.AppendHeader(sip.NewHeader("Session-Expires", inSeconds(t.interval)+";refresher="+who))
	}
	if knows && !t.ours {
		res.AppendHeader(sip.NewHeader("Require", tagTimer))
	}
	c.startTimer(s)
}

// startTimer begins an interval anew.
func (c *call) startTimer(s side) {
	t := &c.legs[s].timer
	// A BYE goes before the end, so that it arrives while the peer still has the session (RFC 4028 §10).
	t.ends = c.w.now().Add(t.interval - min(32*time.Second, t.interval/3))
	c.resumeTimer(s)
	c.save()
}

// resumeTimer waits for what is left of the interval.
func (c *call) resumeTimer(s side) {
	t := &c.legs[s].timer
	t.halt()
	if t.interval == 0 || c.phase == over {
		return
	}
	left := t.ends.Sub(c.w.now())
	if t.ours {
		left = min(left, t.interval/2)
	}
	c.inLeg(s, max(left, 0), func() {
		if t.ours && c.w.now().Before(t.ends) {
			c.renew(s, false)
			return
		}
		c.expired()
	})
}

// inLeg sets the one timer of a leg.
func (c *call) inLeg(s side, d time.Duration, fn func()) {
	l := c.legs[s]
	l.timer.halt()
	l.timer.stop = c.w.after(d, func() {
		c.must(func() {
			if c.legs[s] == l { // else the side has gone meanwhile
				fn()
			}
		})
	})
}

func (t *sessionTimer) halt() {
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
}

// expired ends a call whose session nobody refreshed.
func (c *call) expired() {
	if c.phase == over {
		return
	}
	c.hangUp("the session expired without a refresh", "system", outcome{status: 200, header: `SIP;cause=408;text="Session timer expired"`})
}
