package script

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/e2e/phone"
)

// Patience is how long a message of the script is waited for. Nothing takes as long on loopback, but a machine may be busy.
const Patience = 8 * time.Second

// Phone is one phone of a script.
type Phone struct {
	phone.Phone
	t testing.TB

	mu    sync.Mutex // guards what follows
	inbox []*phone.Message
	seen  map[string]int // how often each message came, by its bytes
	log   []string       // all that came, for people
	more  chan struct{}  // closed and renewed with each message
}

// New makes a phone that reads from its line until that is closed. Without a password it is nobody's account, as a carrier is.
func New(t testing.TB, line phone.Line, user, password, domain string) *Phone {
	t.Helper()
	p := &Phone{
		Phone: phone.Phone{Line: line, User: user, Password: password, Domain: domain},
		t:     t, seen: map[string]int{}, more: make(chan struct{}),
	}
	if password != "" {
		if res, err := p.Register(600); err != nil || res.Status != 200 {
			t.Fatalf("%s: REGISTER: %+v %v", user, res, err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read()
	}()
	t.Cleanup(func() {
		_ = line.Close() // which ends read
		<-done
	})
	return p
}

func (p *Phone) read() {
	for {
		raw, err := p.Line.Read(time.Time{})
		if err != nil {
			return
		}
		m, err := phone.ParseMessage(raw)
		if err != nil {
			continue // a keep-alive
		}
		p.mu.Lock()
		p.log = append(p.log, m.Raw)
		if p.seen[m.Raw]++; p.seen[m.Raw] == 1 {
			p.inbox = append(p.inbox, m)
		}
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// until looks again after each message until ok says that it is enough.
func (p *Phone) until(what string, ok func() bool) {
	p.t.Helper()
	timeout := time.After(Patience)
	for {
		p.mu.Lock()
		done, more, log := ok(), p.more, p.log
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case <-timeout:
			p.t.Fatalf("%s: no %s came within %v, but\n%s", p.User, what, Patience, strings.Join(log, "\n----\n"))
		}
	}
}

// await takes the first message that fits; what says which, for people.
func (p *Phone) await(what string, fits func(*phone.Message) bool) (found *phone.Message) {
	p.t.Helper()
	p.until(what, func() bool {
		for i, m := range p.inbox {
			if fits(m) {
				found, p.inbox = m, append(p.inbox[:i:i], p.inbox[i+1:]...)
				return true
			}
		}
		return false
	})
	return found
}

// Repeated waits until m has come n times in all.
func (p *Phone) Repeated(m *phone.Message, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("repetition %d of\n%s\n", n, m.Raw), func() bool { return p.seen[m.Raw] >= n })
}

// Times tells how often m has come.
func (p *Phone) Times(m *phone.Message) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[m.Raw]
}

// Heard is all that the phone has read, for what must be nowhere in it.
func (p *Phone) Heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// Write sends bytes.
func (p *Phone) Write(text string) {
	p.t.Helper()
	if err := p.Line.Write([]byte(text)); err != nil {
		p.t.Fatalf("%s: %v\n%s", p.User, err, text)
	}
}

// URI is where the phone is reached.
func (p *Phone) URI() string {
	if p.Contact != "" {
		return p.Contact
	}
	return fmt.Sprintf("sip:%s@%s;transport=%s", p.User, p.Line.Local(), strings.ToLower(p.Line.Transport()))
}
