package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	heartbeat     = 2 * time.Second // the JetStream says this often that a quiet consumer lives
	heartbeatLost = 5 * time.Second // silence after which it is made anew
	followRetry   = 250 * time.Millisecond
	followTimeout = 2 * time.Second // to make a consumer; in a cluster the node chosen for it may just have died
	apiTimeout    = 5 * time.Second
)

// follower reads a stream in order through a consumer of its own: pushed, never acknowledged, in memory, one replica.
// When the consumer is lost, or a message is (a gap in the consumer's sequence), a new one is made; plan says from where.
// This is the "ordered consumer" of nats.go, with the difference that plan may ask for the last value of each
// subject again, which a bucket needs after a gap.
type follower struct {
	f      *Fabric
	stream string
	plan   func() consumerPlan
	handle func(m *nats.Msg, meta msgMeta) // in order, never concurrently
	quiet  func(at uint64)                 // nothing more to deliver at the moment, at that stream sequence; may be nil
	made   func(info consumerInfo)         // a consumer was made, before its first message; may be nil
	again  func(reason string)             // it has to be made anew; may be nil
	back   func(to uint64)                 // the stream ends before what was delivered: to is its end, 0 if it is another stream

	wake chan string // reason to make the consumer anew

	mu    sync.Mutex // held while handle runs: ending an epoch waits for it
	epoch uint64
	next  uint64 // consumer sequence expected
	seen  uint64 // highest stream sequence delivered
	heard time.Time

	created time.Time // of the stream, when first followed
}

// consumerPlan says what a consumer shall deliver.
type consumerPlan struct {
	Policy  string   // "all", "new", "by_start_sequence", "last_per_subject"
	Start   uint64   // by_start_sequence
	Filters []string // subjects
}

// msgMeta is what the reply subject of a delivered message tells.
type msgMeta struct {
	stream, consumer uint64 // sequences
	pending          uint64 // messages the consumer has yet to deliver
	time             time.Time
}

type consumerInfo struct {
	Name      string `json:"name"`
	Pending   uint64 `json:"num_pending"`
	Delivered struct {
		Stream uint64 `json:"stream_seq"`
	} `json:"delivered"`
	Error *apiError `json:"error"`
}

func newFollower(f *Fabric, stream string) *follower {
	return &follower{f: f, stream: stream, wake: make(chan string, 1)}
}

// poke makes the consumer anew; the connection is back.
func (w *follower) poke() { w.wakeUp("reconnected") }

func (w *follower) wakeUp(reason string) {
	select {
	case w.wake <- reason:
	default:
	}
}

// run follows until ctx ends. It returns nil then; handle does not run any more.
func (w *follower) run(ctx context.Context) {
	w.f.mu.Lock()
	w.f.followers[w] = struct{}{}
	w.f.mu.Unlock()
	defer func() {
		w.f.mu.Lock()
		delete(w.f.followers, w)
		w.f.mu.Unlock()
	}()
	for ctx.Err() == nil {
		reason := w.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.again != nil {
			w.again(reason)
		}
		w.f.log.LogAttrs(ctx, slog.LevelDebug, "stream consumer is made anew", slog.String("stream", w.stream), slog.String("reason", reason))
		select {
		case <-ctx.Done():
		case <-time.After(followRetry):
		}
	}
}

// once makes a consumer and delivers from it until it is lost; it returns why.
func (w *follower) once(ctx context.Context) (reason string) {
	select {
	case <-w.wake: // meant for the consumer before
	default:
	}
	inbox := nats.NewInbox()
	w.mu.Lock()
	w.epoch++
	epoch := w.epoch
	w.next = 1
	w.heard = time.Now()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.epoch++
		w.mu.Unlock()
	}()

	ready := make(chan struct{}) // messages wait until made has run
	sub, err := w.f.nc.Subscribe(inbox, func(m *nats.Msg) {
		<-ready
		w.onMsg(epoch, m)
	})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if err := sub.SetPendingLimits(-1, followPending); err != nil {
		close(ready)
		return err.Error()
	}
	info, err := w.checkAndCreate(ctx, inbox)
	if err != nil {
		close(ready)
		return err.Error()
	}
	defer w.remove(info.Name)
	w.mu.Lock()
	if w.made != nil {
		w.made(info)
	}
	if info.Pending == 0 && w.quiet != nil {
		w.quiet(info.Delivered.Stream)
	}
	w.mu.Unlock()
	close(ready)
	return w.supervise(ctx)
}

// followPending bounds what waits for a slow handle; flow control stops the JetStream long before.
const followPending = 256 * mib

func (w *follower) supervise(ctx context.Context) string {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err().Error()
		case reason := <-w.wake:
			return reason
		case <-tick.C:
			if !w.mu.TryLock() {
				continue // handle is at work, so the consumer lives
			}
			silent := time.Since(w.heard)
			w.mu.Unlock()
			if silent > heartbeatLost {
				return "no heartbeat"
			}
		}
	}
}

// checkAndCreate makes the consumer, after a look whether the stream is still the one that was followed: one that was
// restored from a copy or made anew counts from a lower sequence.
func (w *follower) checkAndCreate(ctx context.Context, inbox string) (consumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	var info struct {
		Created time.Time `json:"created"`
		State   struct {
			LastSeq uint64 `json:"last_seq"`
		} `json:"state"`
		Error *apiError `json:"error"`
	}
	if err := w.f.api(ctx, "STREAM.INFO."+w.stream, nil, &info); err != nil {
		return consumerInfo{}, err
	}
	if info.Error != nil {
		return consumerInfo{}, info.Error
	}
	w.mu.Lock()
	another := !w.created.IsZero() && !info.Created.Equal(w.created)
	w.created = info.Created
	if another || info.State.LastSeq < w.seen {
		w.f.log.LogAttrs(ctx, slog.LevelError, "stream went back", slog.String("stream", w.stream),
			slog.Uint64("seen", w.seen), slog.Uint64("now", info.State.LastSeq), slog.Bool("made_anew", another))
		w.seen = info.State.LastSeq
		if another {
			w.seen = 0
		}
		w.back(w.seen)
	}
	w.mu.Unlock()
	return w.create(ctx, inbox)
}

func (w *follower) create(ctx context.Context, inbox string) (consumerInfo, error) {
	plan := w.plan()
	name := "parley-" + nuid.Next()
	cfg := map[string]any{
		"name": name, "deliver_subject": inbox, "deliver_policy": plan.Policy, "ack_policy": "none",
		"max_deliver": 1, "replay_policy": "instant", "flow_control": true, "idle_heartbeat": heartbeat,
		"mem_storage": true, "num_replicas": 1, "inactive_threshold": 30 * time.Second,
		"metadata": map[string]string{"parley.node": w.f.node},
	}
	if plan.Policy == "by_start_sequence" {
		cfg["opt_start_seq"] = plan.Start
	}
	if len(plan.Filters) == 1 {
		cfg["filter_subject"] = plan.Filters[0]
	} else if len(plan.Filters) > 1 {
		cfg["filter_subjects"] = plan.Filters
	}
	req, err := json.Marshal(map[string]any{"stream_name": w.stream, "config": cfg, "action": "create"})
	if err != nil {
		return consumerInfo{}, err
	}
	var info consumerInfo
	if err := w.f.api(ctx, "CONSUMER.CREATE."+w.stream+"."+name, req, &info); err != nil {
		return consumerInfo{}, err
	}
	if info.Error != nil {
		return consumerInfo{}, info.Error
	}
	return info, nil
}

// remove deletes the consumer, so that it need not wait for its inactivity. It may be gone already.
func (w *follower) remove(name string) {
	if !w.f.nc.IsConnected() {
		return
	}
	_ = w.f.nc.Publish("$JS.API.CONSUMER.DELETE."+w.stream+"."+name, nil) // its inactivity ends it if this is lost
}

func (w *follower) onMsg(epoch uint64, m *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch != w.epoch {
		return
	}
	w.heard = time.Now()
	if len(m.Data) == 0 && m.Header.Get("Status") == "100" {
		w.onControl(m)
		return
	}
	meta, err := parseMeta(m.Reply)
	if err != nil {
		w.wakeUp(err.Error())
		return
	}
	if meta.consumer != w.next {
		w.epoch++ // nothing of this consumer is handled any more
		w.wakeUp(fmt.Sprintf("gap: message %d where %d was expected", meta.consumer, w.next))
		return
	}
	w.next++
	w.seen = max(w.seen, meta.stream)
	w.handle(m, meta)
	if meta.pending == 0 && w.quiet != nil {
		w.quiet(meta.stream)
	}
	w.heard = time.Now()
}

// onControl answers flow control and compares an idle heartbeat with what has arrived.
func (w *follower) onControl(m *nats.Msg) {
	if m.Reply != "" {
		_ = m.Respond(nil) // a lost answer shows as silence
		return
	}
	if stalled := m.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		_ = w.f.nc.Publish(stalled, nil) // as above
	}
	last, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64)
	if err == nil && last != w.next-1 {
		w.epoch++
		w.wakeUp(fmt.Sprintf("gap: %d messages delivered, %d arrived", last, w.next-1))
	}
}

var errNoMeta = errors.New("message without the reply subject of a consumer")

// parseMeta reads $JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>, or the longer form with a
// domain and an account after $JS.ACK. It runs for every message, so it makes no garbage.
func parseMeta(reply string) (msgMeta, error) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return msgMeta{}, errNoMeta
	}
	skip := 3 // stream, consumer, delivered
	if strings.Count(rest, ".") >= 8 {
		skip = 5
	}
	for range skip {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return msgMeta{}, errNoMeta
		}
	}
	var n [4]uint64
	for i := range n {
		var token string
		token, rest, ok = strings.Cut(rest, ".")
		v, err := strconv.ParseUint(token, 10, 64)
		if err != nil || (!ok && i < len(n)-1) {
			return msgMeta{}, errNoMeta
		}
		n[i] = v
	}
	return msgMeta{stream: n[0], consumer: n[1], time: time.Unix(0, int64(n[2])), pending: n[3]}, nil
}

// api asks the JetStream API and decodes its answer.
func (f *Fabric) api(ctx context.Context, verb string, req []byte, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	m, err := f.nc.RequestWithContext(ctx, "$JS.API."+verb, req)
	if err != nil {
		return requestError(ctx, err)
	}
	return json.Unmarshal(m.Data, resp)
}
