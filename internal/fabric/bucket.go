package fabric

import (
	"context"
	"time"
)

// Names of the key-value buckets.
const (
	BucketNodes         = "nodes"
	BucketRegistrations = "registrations"
	BucketBans          = "bans"
	BucketCalls         = "calls"
	BucketAgents        = "agents"
	BucketReservations  = "reservations"
	BucketSessions      = "sessions"
	BucketQueues        = "queues"
	BucketLeases        = "leases"
)

// Bucket is a key-value bucket: last value a key, compare-and-set on the revision, optional time to live a key.
type Bucket struct{}

// Bucket returns the bucket of that name; a name that is not one of the constants is a programming error and panics.
func (f *Fabric) Bucket(name string) *Bucket { panic("fabric: being built") }

// Key joins outside tokens into a key; each is escaped.
func Key(tokens ...string) string { panic("fabric: being built") }

// SplitKey undoes Key.
func SplitKey(key string) []string { panic("fabric: being built") }

// EntryOp says what an entry tells.
type EntryOp uint8

// What happened to a key.
const (
	EntryPut    EntryOp = iota
	EntryDelete         // deleted by somebody
	EntryExpire         // its time to live ended
)

// Entry is one value of one key, or the news that it is gone.
type Entry struct {
	Key      string
	Value    []byte // owned by the receiver; nil unless Op is EntryPut
	Revision uint64
	Time     time.Time // when it was stored
	Op       EntryOp
}

// PutOptions refine a put.
type PutOptions struct {
	TTL      time.Duration // the key expires after this; 0 = never. Rounded up to whole seconds
	CAS      bool          // store only if the key's revision is Revision (0: the key must not exist), else voice.ErrConflict
	Revision uint64
}

// Get returns the current entry of key, or voice.ErrNotFound.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) { panic("fabric: being built") }

// Put stores value under key and returns its revision.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, o PutOptions) (uint64, error) {
	panic("fabric: being built")
}

// PutAsync is Put without the wait: done is called once, from another goroutine, with the revision or the error.
// Puts of one key from one goroutine are stored in their order. It blocks while too many are under way.
func (b *Bucket) PutAsync(key string, value []byte, o PutOptions, done func(revision uint64, err error)) {
	panic("fabric: being built")
}

// Delete removes key; with CAS only if its revision is o.Revision. A key that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string, o PutOptions) error {
	panic("fabric: being built")
}

// Watch calls fn for the current entry of every key and then for each change, in order, on one goroutine, until
// ctx ends. synced (may be nil) is called once when the current entries have been given. However many watches a
// node has on a bucket, the JetStream sees one. prefix is a key prefix of whole tokens, or "".
func (b *Bucket) Watch(ctx context.Context, prefix string, fn func(Entry), synced func()) error {
	panic("fabric: being built")
}
