package sip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"parley/e2e/books"
	"parley/internal/contract"
)

// errNoAnswer is what the transaction layer says of a request that nobody answered.
var errNoAnswer = errors.New("no answer in time")

// foreign is a description with a codec that this node does not speak.
const foreign = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n"

// chaos plays a call in which the phones do what the bytes of a script say, in any order, sensible or not: as the real
// ones do, each final response comes once (a 2xx may be repeated), and a request that has none fails in the end.
type chaos struct {
	*stage
	script []byte
	caller *incoming // the INVITE
	final  map[*sentRequest]int
	cseq   int
	queue  bool // the number called is a route point
	owed   int  // answers to those who routed it
}

func (c *chaos) next() int {
	if len(c.script) == 0 {
		return 0
	}
	b := c.script[0]
	c.script = c.script[1:]
	return int(b)
}

// FuzzCall holds what is true of every call, whatever the phones do: it ends, with one record and all its events, and
// leaves nothing behind.
func FuzzCall(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 4, 6})          // rings, answered, ACK, BYE
	f.Add([]byte{1, 1, 0, 5, 3, 0, 9})       // CANCEL crosses 200
	f.Add([]byte{2, 1, 1, 2, 0, 2, 1, 4, 7}) // two phones answer at once
	f.Add([]byte{0, 2, 0, 4, 8, 0, 9, 0, 10, 11, 3, 0, 6})
	f.Add([]byte{3, 3, 0, 3, 1, 12, 12, 2, 2, 4, 6}) // busy, forwarded
	f.Add([]byte("re-INVITE and UPDATE at once, from both sides"))
	// Route points: keys, music, routed; recorded in early media, routed, busy, CANCEL; conference, music, conference, routed.
	f.Add([]byte{128, 1, 4, 0, 13, 5, 16, 0, 15, 0, 15, 1, 15, 2, 13, 1, 14, 0, 0, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 10, 9, 6})
	f.Add([]byte{128, 6, 13, 6, 16, 0, 15, 11, 17, 1, 8, 14, 0, 0, 11, 0, 0, 0, 5})
	f.Add([]byte{128, 0, 4, 0, 18, 0, 13, 1, 18, 1, 14, 0, 0, 3, 0, 0, 0, 0, 19, 10, 60})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 200 {
			return // longer ones find nothing new, and take long
		}
		playChaos(t, script)
	})
}

// Some of what FuzzCall finds, each time the tests run.
func TestWhateverPhonesDo(t *testing.T) {
	const scripts, longest = 1500, 80
	for seed := range uint64(scripts) {
		r := rand.New(rand.NewPCG(seed, 0))
		script := make([]byte, 5+r.IntN(longest))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		for _, script := range [][]byte{script, queueScript(r)} {
			if playChaos(t, script); t.Failed() {
				t.Fatalf("script %q", script)
			}
		}
	}
}

func playChaos(t *testing.T, script []byte) {
	c := &chaos{stage: newStage(t), script: script, final: map[*sentRequest]int{}, cseq: 1}
	c.begin()
	for len(c.script) > 0 {
		c.step()
	}
	c.end()
}

// begin makes a number with one phone, with two, late offers, or a dial plan that goes on.
func (c *chaos) begin() {
	kind := c.next()
	c.phone("1002", "b")
	c.phone("1003", "c")
	if kind&1 != 0 {
		c.phones["1002"] = append(c.phones["1002"], contract.Binding{Contact: "sip:d@192.0.2.1:5060"})
	}
	if kind&2 != 0 {
		c.plans["1002"].OnBusy, c.plans["1002"].OnNoAnswer = "1003", "1003"
	}
	if kind&4 != 0 {
		c.body = ""
	}
	if kind&8 != 0 {
		c.plans["1002"] = &contract.ResolveResponse{Kind: contract.RouteTrunk, Number: "1002", Trunks: []contract.RouteTarget{
			{DN: "gw1", Contact: "sip:192.0.2.50", Number: "b"}, {DN: "gw2", Contact: "sip:192.0.2.51", Number: "c"}}}
	}
	if kind&64 != 0 { // the audio goes through the node
		c.legs = &fakeLegs{}
	}
	number := "1002"
	if c.queue = kind&128 != 0; c.queue {
		number = "9000"
		c.atQueue(c.next())
	}
	c.caller = c.call(number, [][]string{
		nil, {"Supported: 100rel, timer"}, {"Require: 100rel", "Session-Expires: 90;refresher=uac", "Supported: timer"},
		{"Supported: timer, 100rel", "Session-Expires: 1800", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK"},
	}[kind>>4&3]...)
}

// step is one thing that happens.
func (c *chaos) step() {
	if c.over {
		c.script = nil
		return
	}
	statuses := []int{100, 180, 183, 200, 302, 401, 404, 408, 422, 480, 481, 486, 487, 488, 491, 500, 503, 603}
	kinds := 13
	if c.queue {
		kinds += queueKinds
	}
	switch op := c.next() % kinds; op {
	case 0, 1, 2, 3:
		c.respond(statuses[c.next()%len(statuses)])
	case 4:
		c.fromCaller("ACK", c.cseq, []string{"", sdpAnswer, foreign}[c.next()%3])
	case 5:
		c.c.must(func() { c.c.cancelled(c.caller, "") })
		c.settle()
	case 6:
		c.cseq++
		c.fromCaller("BYE", c.cseq, "")
	case 7:
		c.fromPhone("BYE", "")
	case 8:
		c.cseq++
		c.fromCaller([]string{"INVITE", "UPDATE", "INFO", "OPTIONS", "REFER"}[c.next()%5], c.cseq, []string{offer, "", foreign, "no description"}[c.next()%4])
	case 9:
		c.fromPhone([]string{"INVITE", "UPDATE", "INFO", "ACK", "PRACK"}[c.next()%5], []string{offer, sdpAnswer, "", foreign}[c.next()%4])
	case 10:
		c.pass(time.Duration(c.next()%64) * time.Second / 2)
	case 11:
		c.cseq++
		if c.caller.last == nil {
			return
		}
		if rseq := header(c.caller.last, "RSeq"); rseq != "" && c.dialogs["call-a"] != nil {
			c.callerSays("PRACK", c.cseq, []string{"", sdpAnswer, offer}[c.next()%3], "RAck: "+rseq+" 1 INVITE")
		}
	case 12:
		if r := c.choose(); r != nil && c.final[r] == 0 {
			c.final[r] = 408
			r.fails(errNoAnswer)
		}
	default:
		c.queueStep(op - 13)
	}
}

// choose picks a request of the node.
func (c *chaos) choose() *sentRequest {
	if len(c.sent) == 0 {
		return nil
	}
	return c.sent[len(c.sent)-1-c.next()%len(c.sent)]
}

func (c *chaos) respond(status int) {
	r := c.choose()
	if r == nil {
		return
	}
	before := c.final[r]
	if before != 0 && (before/100 != 2 || status/100 != 2 || string(r.req.Method) != "INVITE") {
		return // the transaction is over
	}
	if status >= 200 {
		c.final[r] = status
	}
	body := ""
	if m := string(r.req.Method); m != "BYE" && (status/100 == 2 || status == 183) {
		body = []string{sdpAnswer, offer, "", foreign, "no description"}[c.next()%5]
	}
	headers := []string{"Contact: <sip:" + r.to + "@192.0.2.1>"}
	switch how := c.next(); {
	case status == 302:
		headers = []string{"Contact: <sip:1003@demo.local>"}
	case status == 422:
		headers = append(headers, fmt.Sprintf("Min-SE: %d", 60*how))
	case status/100 == 1 && how&1 != 0:
		headers = append(headers, "Require: 100rel", fmt.Sprintf("RSeq: %d", 1+how>>1%4))
	case status == 200 && how&1 != 0:
		headers = append(headers, "Require: timer", "Session-Expires: 90;refresher="+[]string{"uac", "uas"}[how>>1&1])
	}
	r.tag = []string{"", "other"}[c.next()&1]
	r.answer(status, body, headers...)
}

// fromCaller is a request of the caller, when his dialog is still known.
func (c *chaos) fromCaller(method string, cseq int, body string) {
	if c.dialogs["call-a"] != nil {
		c.callerSays(method, cseq, body)
	}
}

// fromPhone is a request of a phone that the node called.
func (c *chaos) fromPhone(method, body string) {
	r := c.choose()
	if r == nil || r.to == "1001" || c.dialogs[header(r.req, "Call-ID")] == nil {
		return
	}
	c.phoneSays(r, method, 10+len(c.ladder.String()), body)
}

// end lets everything time out that is still open, and looks at what is left.
func (c *chaos) end() {
	c.slow = false
	for c.answers() {
	}
	for round := 0; !c.over && round < 40; round++ {
		for _, r := range c.sent {
			if c.final[r] == 0 {
				c.final[r] = 408
				r.fails(errNoAnswer)
			}
		}
		if !c.over {
			c.pass(time.Hour)
		}
		if !c.over && c.queue {
			c.leaves(round)
		}
	}
	c.holds()
	c.holdsOfQueue()
	c.booksBalance()
	if c.t.Failed() {
		c.t.Log(strings.TrimSpace(c.ladder.String()))
	}
}

// booksBalance checks what was written down with rules that the node does not share.
func (c *chaos) booksBalance() {
	var b books.Books
	for _, e := range c.events {
		b.Events = append(b.Events, *e)
	}
	for _, r := range c.records {
		b.Records = append(b.Records, *r)
	}
	if err := b.Check(); err != nil {
		c.t.Error(err)
	}
}
