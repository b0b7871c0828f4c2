package web

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

const (
	handoutLife = 10 * time.Minute
	maxHandouts = 256 // documents waiting; beyond it the page shows the account as text
)

// handouts keeps provisioning documents until a phone fetches them, once, or their time is over. The address is the
// secret: 128 random bits. Documents hold a password, so they live in the memory of this node only.
type handouts struct {
	now func() time.Time

	mu    sync.Mutex // guards byKey
	byKey map[string]handout
}

type handout struct {
	doc  []byte
	ends time.Time
}

func newHandouts(now func() time.Time) *handouts {
	return &handouts{now: now, byKey: map[string]handout{}}
}

// put keeps doc and returns its key; ok is false when too many wait.
func (h *handouts) put(doc []byte) (key string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweepLocked()
	if len(h.byKey) >= maxHandouts {
		return "", false
	}
	key = strings.ToLower(rand.Text())
	h.byKey[key] = handout{doc, h.now().Add(handoutLife)}
	return key, true
}

// take gives the document away.
func (h *handouts) take(key string) (doc []byte, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweepLocked()
	one, ok := h.byKey[key]
	delete(h.byKey, key)
	return one.doc, ok
}

func (h *handouts) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweepLocked()
	return len(h.byKey)
}

func (h *handouts) sweepLocked() {
	for key, one := range h.byKey {
		if !h.now().Before(one.ends) {
			delete(h.byKey, key)
		}
	}
}

// provision answers the phone that scanned a QR code.
func (s *Server) provision(c *fiber.Ctx) error {
	if c.Method() != fiber.MethodGet { // Fiber answers HEAD with the same handler; a look must not take it away
		return fiber.ErrMethodNotAllowed
	}
	doc, ok := s.handouts.take(strings.Clone(c.Params("key")))
	if !ok {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, "application/xml; charset=utf-8")
	return c.Send(doc)
}

// static answers for the style sheet and its like. Their names change with their content.
func (s *Server) static(c *fiber.Ctx) error {
	a, ok := s.ui.Asset(c.Params("name"))
	if !ok {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, a.ContentType)
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	return c.Send(a.Body)
}
