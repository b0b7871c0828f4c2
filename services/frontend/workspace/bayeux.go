package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"parley/internal/voice"
)

// bayeuxMessage is one message of a client, as far as anything of it is read (Bayeux 1.0.1 §3).
type bayeuxMessage struct {
	Channel      string     `json:"channel"`
	ID           string     `json:"id"`
	ClientID     string     `json:"clientId"`
	Types        []string   `json:"supportedConnectionTypes"`
	Subscription oneOrMany  `json:"subscription"`
	Advice       *adviceAsk `json:"advice"`
}

type adviceAsk struct {
	Timeout *int64 `json:"timeout"` // milliseconds
}

// oneOrMany is a text or an array of them (Bayeux §5.5: a channel or an array of channels).
type oneOrMany []string

func (l *oneOrMany) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

type advice struct {
	Reconnect string `json:"reconnect"`
	Interval  int64  `json:"interval"`
	Timeout   int64  `json:"timeout,omitempty"`
}

// bayeuxReply answers one message.
type bayeuxReply struct {
	Channel      string   `json:"channel"`
	ID           string   `json:"id,omitempty"`
	ClientID     string   `json:"clientId,omitempty"`
	Version      string   `json:"version,omitempty"`
	Minimum      string   `json:"minimumVersion,omitempty"`
	Types        []string `json:"supportedConnectionTypes,omitempty"`
	Subscription any      `json:"subscription,omitempty"`
	Successful   bool     `json:"successful"`
	Error        string   `json:"error,omitempty"`
	Advice       *advice  `json:"advice,omitempty"`
}

// Why a message is not obeyed, as Bayeux writes it: a code, arguments, a text (§2.2.1).
const (
	errorChannel    = "403:%:there is no such channel here, or nobody may publish to it"
	errorClient     = "402:%:unknown client; begin with a handshake"
	errorTransport  = "406::the connection types have none in common with long-polling"
	errorSuperseded = "409::another connect of this client came"
)

// notifications answers messages of the push channel: one or several at once, at /notifications or below it, as CometD's
// clients append the kind of message to the path.
func (s *Service) notifications(c *exchange, x *session) error {
	messages, err := readMessages(c.bytes())
	if err != nil {
		return s.refusal(c, err)
	}
	var out []any
	for i := range messages {
		m := &messages[i]
		if m.Channel == "/meta/connect" {
			queued, reply := s.connect(c.Context(), x, m)
			for _, q := range queued {
				out = append(out, q)
			}
			out = append(out, reply)
			continue
		}
		out = append(out, s.meta(x, m))
	}
	return c.reply(http.StatusOK, out)
}

func readMessages(body []byte) ([]bayeuxMessage, error) {
	if len(body) > maxBody {
		return nil, voice.Errorf(voice.ErrInvalid, "the body is larger than %d bytes", maxBody)
	}
	var many []bayeuxMessage
	if err := json.Unmarshal(body, &many); err != nil {
		var one bayeuxMessage
		if json.Unmarshal(body, &one) != nil {
			return nil, voice.Errorf(voice.ErrInvalid, "the body is no message of Bayeux nor an array of them")
		}
		many = []bayeuxMessage{one}
	}
	if len(many) == 0 || len(many) > maxBatch {
		return nil, voice.Errorf(voice.ErrInvalid, "a request has 1 to %d messages", maxBatch)
	}
	connects := 0
	for _, m := range many {
		if len(m.Channel) > maxText || len(m.ID) > maxText || len(m.ClientID) > maxText || len(m.Subscription) > maxBatch {
			return nil, voice.Errorf(voice.ErrInvalid, "a message has a channel, an id or subscriptions that are too long")
		}
		if m.Channel == "/meta/connect" {
			connects++
		}
	}
	if connects > 1 {
		return nil, voice.Errorf(voice.ErrInvalid, "a request has one connect at most")
	}
	return many, nil
}

// meta answers what needs no waiting.
func (s *Service) meta(x *session, m *bayeuxMessage) bayeuxReply {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := bayeuxReply{Channel: m.Channel, ID: m.ID, ClientID: m.ClientID}
	if m.Channel == "/meta/handshake" {
		return s.handshakeLocked(x, m, r)
	}
	c := x.clientLocked(m.ClientID)
	if c == nil {
		return unknownClient(r)
	}
	switch m.Channel {
	case "/meta/subscribe":
		return s.subscribeLocked(x, c, m, r)
	case "/meta/unsubscribe":
		for _, ch := range m.Subscription {
			c.subs = without(c.subs, ch)
		}
		r.Subscription, r.Successful = subscriptionOf(m), true
	case "/meta/disconnect":
		c.left = true
		s.dropClientLocked(x, c, "")
		r.Successful, r.Advice = true, &advice{Reconnect: "none"}
	default:
		r.Error = strings.Replace(errorChannel, "%", strings.ReplaceAll(m.Channel, ":", ""), 1)
	}
	return r
}

func unknownClient(r bayeuxReply) bayeuxReply {
	r.Error = strings.Replace(errorClient, "%", strings.ReplaceAll(r.ClientID, ":", ""), 1)
	r.Advice = &advice{Reconnect: "handshake"}
	return r
}

func (s *Service) handshakeLocked(x *session, m *bayeuxMessage, r bayeuxReply) bayeuxReply {
	const polling = "long-polling"
	r.Version, r.Minimum, r.Types, r.ClientID = "1.0", "1.0", []string{polling}, ""
	common := false
	for _, t := range m.Types {
		common = common || t == polling
	}
	if !common {
		r.Error, r.Advice = errorTransport, &advice{Reconnect: "none"}
		return r
	}
	if len(x.clients) >= maxClients {
		s.dropClientLocked(x, x.clients[0], dropReplaced)
	}
	c := &client{id: newKey(), seen: s.o.Now()}
	x.clients = append(x.clients, c)
	s.clients.Add(1)
	r.ClientID, r.Successful, r.Advice = c.id, true, s.retry()
	return r
}

func (s *Service) retry() *advice {
	return &advice{Reconnect: "retry", Timeout: s.o.Config.Poll.Milliseconds()}
}

// subscribeLocked adds channels, and tells the new follower how things are: that the session is ready, or which state its
// device and calls have, so that a client that began anew needs to ask for nothing.
func (s *Service) subscribeLocked(x *session, c *client, m *bayeuxMessage, r bayeuxReply) bayeuxReply {
	r.Subscription = subscriptionOf(m)
	for _, ch := range m.Subscription {
		switch ch {
		case channelInit, channelVoice, channelMedia, channelAll:
		default:
			r.Error = strings.Replace(errorChannel, "%", strings.ReplaceAll(ch, ":", ""), 1)
			return r
		}
	}
	tell := func(channel string, data any) { s.tellLocked(x, c, channel, data) }
	for _, ch := range m.Subscription {
		if c.follows(ch) {
			continue
		}
		c.subs = append(c.subs, ch)
		if ch == channelInit || ch == channelAll {
			tell(channelInit, s.readyMessageLocked(x))
		}
		if (ch == channelVoice || ch == channelAll) && x.dn != "" && !x.loading {
			now := s.o.Now()
			tell(channelVoice, x.deviceMessageLocked(now))
			for _, id := range x.order {
				tell(channelVoice, x.callMessageLocked(x.calls[id], aboutState, now))
			}
		}
	}
	r.Successful = true
	return r
}

func subscriptionOf(m *bayeuxMessage) any {
	if len(m.Subscription) == 1 {
		return m.Subscription[0]
	}
	return m.Subscription
}

func without(list []string, s string) []string {
	out := list[:0]
	for _, e := range list {
		if e != s {
			out = append(out, e)
		}
	}
	return out
}

// connect answers a poll: with what waits, or as soon as something does, or after a while with nothing. A client whose
// first poll asks for no wait (advice.timeout 0) gets its answer at once.
func (s *Service) connect(ctx context.Context, x *session, m *bayeuxMessage) ([]json.RawMessage, bayeuxReply) {
	r := bayeuxReply{Channel: m.Channel, ID: m.ID, ClientID: m.ClientID}
	wait := s.o.Config.Poll
	if m.Advice != nil && m.Advice.Timeout != nil {
		wait = min(wait, max(0, time.Duration(*m.Advice.Timeout)*time.Millisecond))
	}
	x.mu.Lock()
	c := x.clientLocked(m.ClientID)
	if c == nil {
		x.mu.Unlock()
		return nil, unknownClient(r)
	}
	c.wakeLocked() // an older poll of this client is answered now
	p := &poll{wake: make(chan struct{})}
	if len(c.queue) == 0 && wait > 0 {
		c.poll = p
	} else {
		close(p.wake)
	}
	x.mu.Unlock()
	err := s.await(ctx, p.wake, wait)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = s.o.Now()
	if c.left {
		r.Successful, r.Advice = true, &advice{Reconnect: "none"}
		return nil, r
	}
	if x.clientLocked(m.ClientID) != c {
		return nil, unknownClient(r)
	}
	if c.poll != nil && c.poll != p {
		r.Error = errorSuperseded
		r.Advice = &advice{Reconnect: "none"}
		return nil, r
	}
	c.poll, c.seen = nil, x.seen
	r.Successful, r.Advice = true, s.retry()
	if err != nil {
		r.Advice.Interval = time.Second.Milliseconds() // the server stops: not at once again
	}
	return c.takeLocked(), r
}

var errStopping = errors.New("the server stops")

func (s *Service) await(ctx context.Context, wake <-chan struct{}, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-wake:
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
	case <-s.stopping:
	case <-s.o.Stopping:
	}
	return errStopping
}
