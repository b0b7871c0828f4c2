package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"parley/internal/voice"
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
	BucketMonitoring    = "monitoring"
)

// Bucket is a key-value bucket: last value a key, compare-and-set on the revision, optional time to live a key.
type Bucket struct {
	f      *Fabric
	name   string
	stream string
	prefix string // of its subjects, with the last dot
	single bool   // one replica: any read is a read from the leader
	feed   feed
}

func newBucket(f *Fabric, name string, replicas int) *Bucket {
	b := &Bucket{f: f, name: name, stream: kvStream(name), prefix: kvSubject(name, ""), single: replicas == 1}
	b.feed.init(b)
	return b
}

// Bucket returns the bucket of that name; a name that is not one of the constants is a programming error and panics.
func (f *Fabric) Bucket(name string) *Bucket {
	b := f.buckets[name]
	if b == nil {
		panic(fmt.Sprintf("fabric: no bucket %q", name))
	}
	return b
}

// EntryOp says what an entry tells.
type EntryOp uint8

// What happened to a key.
const (
	EntryPut    EntryOp = iota
	EntryDelete         // deleted by somebody, or gone for an unknown reason while the connection was down
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

// Headers of the JetStream and of its key-value convention.
const (
	headerTTL      = "Nats-TTL"
	headerExpected = "Nats-Expected-Last-Subject-Sequence"
	headerRollup   = "Nats-Rollup"
	headerMarker   = "Nats-Marker-Reason"
	headerKVOp     = "KV-Operation"
)

const (
	putTimeout = 5 * time.Second
	putRetry   = 50 * time.Millisecond
	maxValue   = mib // bytes; a bucket is for state, not for files
)

// Get returns the current entry of key, or voice.ErrNotFound.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	e, err := b.last(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	if e.Op != EntryPut {
		return Entry{}, b.notFound(key)
	}
	return e, nil
}

func (b *Bucket) notFound(key string) error {
	return voice.Errorf(voice.ErrNotFound, "%s: no key %q", b.name, key)
}

// last reads the last message of key from the stream's leader: a put, or the marker that it is gone.
// A read from any replica would be cheaper, but could be older than what this node has just written.
func (b *Bucket) last(ctx context.Context, key string) (Entry, error) {
	if err := checkKey(key); err != nil {
		return Entry{}, err
	}
	if b.single {
		return b.lastDirect(ctx, key)
	}
	req, err := json.Marshal(map[string]string{"last_by_subj": b.prefix + key})
	if err != nil {
		return Entry{}, err
	}
	var resp struct {
		Error   *apiError `json:"error"`
		Message *struct {
			Seq  uint64    `json:"seq"`
			Hdrs []byte    `json:"hdrs"`
			Data []byte    `json:"data"`
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	if err := b.f.api(ctx, "STREAM.MSG.GET."+b.stream, req, &resp); err != nil {
		return Entry{}, err
	}
	if resp.Error != nil && resp.Error.ErrCode == jsMessageNotFound {
		return Entry{}, b.notFound(key)
	}
	if resp.Error != nil {
		return Entry{}, resp.Error
	}
	if resp.Message == nil {
		return Entry{}, voice.Errorf(voice.ErrInternal, "%s: answer without a message", b.name)
	}
	m := resp.Message
	var h nats.Header
	if len(m.Hdrs) > 0 {
		if h, err = nats.DecodeHeadersMsg(m.Hdrs); err != nil {
			return Entry{}, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return entry(key, m.Data, h, m.Seq, m.Time), nil
}

// lastDirect reads without the JetStream API's queue and JSON; with one replica it is the leader who answers.
func (b *Bucket) lastDirect(ctx context.Context, key string) (Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m, err := b.f.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+b.stream+"."+b.prefix+key, nil)
	if err != nil {
		return Entry{}, requestError(ctx, err)
	}
	switch m.Header.Get("Status") {
	case "":
	case "404":
		return Entry{}, b.notFound(key)
	default:
		return Entry{}, voice.Errorf(voice.ErrUnavailable, "%s: %s", b.name, m.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return Entry{}, voice.Errorf(voice.ErrInternal, "%s: answer without a sequence", b.name)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return Entry{}, voice.Errorf(voice.ErrInternal, "%s: answer without a time", b.name)
	}
	return entry(key, m.Data, m.Header, seq, at), nil
}

// entry makes an Entry of a message of the bucket's stream.
func entry(key string, data []byte, h nats.Header, seq uint64, at time.Time) Entry {
	e := Entry{Key: key, Revision: seq, Time: at}
	switch op := h.Get(headerKVOp); {
	case h.Get(headerMarker) == "MaxAge":
		e.Op = EntryExpire
	case op == "DEL", op == "PURGE", h.Get(headerMarker) != "":
		e.Op = EntryDelete
	default:
		e.Value = data
	}
	return e
}

// Put stores value under key and returns its revision, which any node may use for a compare-and-set.
// After voice.ErrTimeout or voice.ErrUnavailable it may be stored or not.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, o PutOptions) (uint64, error) {
	if err := b.checkPut(key, value); err != nil {
		return 0, err
	}
	return b.write(ctx, b.putMsg(key, value, o), key, o)
}

// write sends m and waits. A compare-and-set on "must not exist" is tried again over the marker of a key that is gone.
func (b *Bucket) write(ctx context.Context, m *nats.Msg, key string, o PutOptions) (uint64, error) {
	for try := 0; ; try++ {
		rev, err := b.writeOnce(ctx, m)
		if !o.CAS || o.Revision != 0 || !errors.Is(err, voice.ErrConflict) || try == 3 {
			return rev, b.putError(key, err)
		}
		marker, gone, err := b.marker(ctx, key)
		if err != nil {
			return 0, err
		}
		if !gone {
			return 0, b.putError(key, voice.ErrConflict)
		}
		m.Header[headerExpected] = []string{strconv.FormatUint(marker, 10)}
	}
}

// marker returns the revision of the marker of a key that is gone; gone is false when the key is there.
func (b *Bucket) marker(ctx context.Context, key string) (revision uint64, gone bool, err error) {
	e, err := b.last(ctx, key)
	if errors.Is(err, voice.ErrNotFound) {
		return 0, true, nil
	}
	return e.Revision, e.Op != EntryPut, err
}

// writeOnce sends m and waits for the acknowledgement. While a cluster has no leader for the stream nobody takes the
// message, so it is sent again until ctx or putTimeout ends; any other failure leaves open whether it was stored.
func (b *Bucket) writeOnce(ctx context.Context, m *nats.Msg) (uint64, error) {
	if ctx.Err() != nil {
		return 0, ctxError(ctx)
	}
	deadline := time.Now().Add(putTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	for {
		rev, err := b.sendAndWait(ctx, m, time.Until(deadline))
		if !errors.Is(err, errNoStream) || time.Until(deadline) < putRetry {
			return rev, err
		}
		select {
		case <-ctx.Done():
			return 0, ctxError(ctx)
		case <-time.After(putRetry):
		}
	}
}

func (b *Bucket) sendAndWait(ctx context.Context, m *nats.Msg, timeout time.Duration) (uint64, error) {
	type result struct {
		rev uint64
		err error
	}
	stored := make(chan result, 1)
	if err := b.f.puts.send(ctx.Done(), m, timeout, func(rev uint64, err error) { stored <- result{rev, err} }); err != nil {
		return 0, err
	}
	select {
	case r := <-stored:
		return r.rev, r.err
	case <-ctx.Done():
		return 0, ctxError(ctx)
	}
}

// PutAsync is Put without the wait: done is called once, from another goroutine, with the revision or the error; it
// must not block. Puts of one key from one goroutine are stored in their order. It blocks while too many are under way.
// value must not be changed until done is called.
func (b *Bucket) PutAsync(key string, value []byte, o PutOptions, done func(revision uint64, err error)) {
	err := b.checkPut(key, value)
	if err == nil {
		err = b.sendPut(key, value, o, func(rev uint64, err error) {
			if err == nil || !o.CAS || o.Revision != 0 || !errors.Is(err, voice.ErrConflict) {
				done(rev, b.putError(key, err))
				return
			}
			b.putOver(key, value, o, done)
		})
	}
	if err != nil {
		go done(0, b.putError(key, err)) // from another goroutine, as promised: the caller may hold a lock
	}
}

// putOver finishes a PutAsync that must not find the key and found something: its marker, perhaps.
func (b *Bucket) putOver(key string, value []byte, o PutOptions, done func(uint64, error)) {
	b.f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(b.f.ctx, putTimeout)
		defer cancel()
		done(b.Put(ctx, key, value, o))
	})
}

// Delete removes key; with CAS only if its revision is o.Revision. A key that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string, o PutOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	h := nats.Header{headerKVOp: {"PURGE"}, headerRollup: {"sub"}, headerTTL: {ttl(markerTTL)}}
	if o.CAS {
		h[headerExpected] = []string{strconv.FormatUint(o.Revision, 10)}
	}
	_, err := b.writeOnce(ctx, &nats.Msg{Subject: b.prefix + key, Header: h})
	if o.CAS && errors.Is(err, voice.ErrConflict) {
		if _, gone, lookErr := b.marker(ctx, key); lookErr == nil && gone {
			return nil
		}
	}
	return b.putError(key, err)
}

func (b *Bucket) putMsg(key string, value []byte, o PutOptions) *nats.Msg {
	m := &nats.Msg{Subject: b.prefix + key, Data: value}
	if o.TTL > 0 || o.CAS {
		m.Header = make(nats.Header, 2)
		if o.TTL > 0 {
			m.Header[headerTTL] = []string{ttl(o.TTL)}
		}
		if o.CAS {
			m.Header[headerExpected] = []string{strconv.FormatUint(o.Revision, 10)}
		}
	}
	return m
}

// asyncMsg is a message that is used again: a map and two slices a put are a third of what a PutAsync allocates.
type asyncMsg struct {
	msg           nats.Msg
	header        nats.Header
	ttl, expected [1]string
}

func newAsyncMsg() any { return &asyncMsg{header: make(nats.Header, 2)} }

// sendPut is send of a put; the connection has copied the message when it returns.
func (b *Bucket) sendPut(key string, value []byte, o PutOptions, done func(uint64, error)) error {
	m := b.f.spare.Get().(*asyncMsg)
	m.msg = nats.Msg{Subject: b.prefix + key, Data: value}
	clear(m.header)
	if o.TTL > 0 {
		m.ttl[0] = ttl(o.TTL)
		m.header[headerTTL] = m.ttl[:]
	}
	if o.CAS {
		m.expected[0] = strconv.FormatUint(o.Revision, 10)
		m.header[headerExpected] = m.expected[:]
	}
	if len(m.header) > 0 {
		m.msg.Header = m.header
	}
	err := b.f.puts.send(nil, &m.msg, putTimeout, done)
	m.msg.Data = nil
	b.f.spare.Put(m)
	return err
}

// ttl renders whole seconds, rounded up, at least one.
func ttl(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func (b *Bucket) putError(key string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, voice.ErrConflict) {
		return voice.Errorf(voice.ErrConflict, "%s: key %q has another revision", b.name, key)
	}
	return fmt.Errorf("%s: key %q: %w", b.name, key, err)
}

func (b *Bucket) checkPut(key string, value []byte) error {
	if len(value) > maxValue {
		return voice.Errorf(voice.ErrInvalid, "%s: key %q: value of %d bytes is more than the limit of %d", b.name, key, len(value), maxValue)
	}
	return checkKey(key)
}

// checkKey refuses what Key does not make.
func checkKey(key string) error {
	ok := key != "" && len(key) <= maxSubject
	for i := 0; ok && i < len(key); i++ {
		c := key[i]
		ok = plain(c) || c == '=' || c == '.' && i > 0 && i < len(key)-1 && key[i-1] != '.'
	}
	if !ok {
		return voice.Errorf(voice.ErrInvalid, "%.80q is not a key made by fabric.Key", key)
	}
	return nil
}

// covers tells whether key lies under prefix, a key of whole tokens.
func covers(prefix, key string) bool {
	return prefix == "" || strings.HasPrefix(key, prefix) && (len(key) == len(prefix) || key[len(prefix)] == '.')
}
