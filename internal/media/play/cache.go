package play

import (
	"container/list"
	"os"
	"sync"
	"time"

	"parley/internal/media/wav"
)

// Cache keeps the clips of files, those used last, within a limit.
type Cache struct {
	bytes  int64 // limit
	limits wav.Limits

	mu     sync.Mutex
	used   int64
	files  map[key]*list.Element // of *entry
	recent list.List             // the front was asked for last
}

type key struct {
	path string
	rate int
}

type entry struct {
	key   key
	ready chan struct{} // closed when the rest is there
	clip  *Clip
	err   error
	time  time.Time // of the file, when it was read
	size  int64
	cost  int64 // its part of Cache.used, under Cache.mu
}

// NewCache keeps clips of together so many bytes; a single one may have up to limits. Clips that were dropped live on as
// long as somebody plays them.
func NewCache(bytes int64, limits wav.Limits) *Cache {
	return &Cache{bytes: bytes, limits: limits, files: make(map[key]*list.Element)}
}

// Load gives the sound of a file at a rate. It may read the disk, and looks at the file in any case: one that changed
// since is read again. Errors name the file; one that is not there is fs.ErrNotExist.
func (c *Cache) Load(path string, rate int) (*Clip, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	e, mine := c.entry(key{path, rate}, info)
	if !mine {
		<-e.ready
		return e.clip, e.err
	}
	defer close(e.ready)
	f, err := wav.Load(path, c.limits)
	if err == nil {
		e.clip = FromFile(f, rate)
	}
	e.err = err
	c.loaded(e)
	return e.clip, e.err
}

// entry finds what is known of a file as it is now, or makes a place for it, which the caller has to fill.
func (c *Cache) entry(k key, info os.FileInfo) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.files[k]; el != nil {
		e = el.Value.(*entry)
		if e.time.Equal(info.ModTime()) && e.size == info.Size() {
			c.recent.MoveToFront(el)
			return e, false
		}
		c.dropLocked(el)
	}
	e = &entry{key: k, ready: make(chan struct{}), time: info.ModTime(), size: info.Size()}
	c.files[k] = c.recent.PushFront(e)
	return e, true
}

// loaded counts what was read, and drops what was not used for longest.
func (c *Cache) loaded(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.files[e.key]
	if el == nil || el.Value != e {
		return // the file changed again meanwhile
	}
	if e.err != nil {
		c.dropLocked(el) // whoever asks next looks again
		return
	}
	e.cost = e.clip.Size()
	c.used += e.cost
	for last := c.recent.Back(); last != nil && c.used > c.bytes; {
		older := last.Prev()
		if last.Value != e && last.Value.(*entry).cost > 0 {
			c.dropLocked(last)
		}
		last = older
	}
	if c.used > c.bytes {
		c.dropLocked(el) // larger than everything: played, not kept
	}
}

func (c *Cache) dropLocked(el *list.Element) {
	e := el.Value.(*entry)
	c.recent.Remove(el)
	delete(c.files, e.key)
	c.used -= e.cost
}

// Used is the number of bytes that are kept now.
func (c *Cache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}
