package workspace

import (
	"encoding/json"
	"slices"
	"time"
)

// The channels there are. Whoever may have a session may follow them: they tell of its own device only.
const (
	channelInit  = "/workspace/v3/initialization"
	channelVoice = "/workspace/v3/voice"
	channelMedia = "/workspace/v3/media" // nothing is told there: there is no other medium yet
	channelAll   = "/workspace/v3/*"
)

// client is one client of the push channel (Bayeux). The lock of its session guards it.
type client struct {
	id    string
	subs  []string
	queue []json.RawMessage
	bytes int
	seen  time.Time // when its last poll was answered, or it was made
	poll  *poll     // that waits; nil = none
	left  bool      // it said goodbye, or its session ended: it shall not come back
}

// poll is one connect that waits for messages. wake is closed once: there is something, another poll came, or the client
// is gone.
type poll struct{ wake chan struct{} }

func (c *client) follows(channel string) bool {
	return slices.Contains(c.subs, channel) || slices.Contains(c.subs, channelAll)
}

// putLocked adds a message to the queue; false when there is no room.
func (c *client) putLocked(text json.RawMessage) bool {
	if len(c.queue) >= maxQueue || c.bytes+len(text) > maxQueueBytes {
		return false
	}
	c.queue = append(c.queue, text)
	c.bytes += len(text)
	c.wakeLocked()
	return true
}

func (c *client) wakeLocked() {
	if c.poll != nil {
		close(c.poll.wake)
		c.poll = nil
	}
}

func (c *client) takeLocked() []json.RawMessage {
	out := c.queue
	c.queue, c.bytes = nil, 0
	return out
}

// clientLocked finds a client of the session.
func (x *session) clientLocked(id string) *client {
	for _, c := range x.clients {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (s *Service) dropClientLocked(x *session, c *client, reason string) {
	i := slices.Index(x.clients, c)
	if i < 0 {
		return
	}
	x.clients = slices.Delete(x.clients, i, i+1)
	c.queue, c.bytes = nil, 0
	c.wakeLocked()
	s.clients.Add(-1)
	if reason != "" {
		s.metrics.dropped.WithLabelValues(reason).Inc()
	}
}
