package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// A class says when a stream may acknowledge.
type class uint8

const (
	// presence is state that renews itself or is only of use while it is fresh: acknowledged when it is written to the
	// file, fsynced every two minutes.
	presence class = iota
	// promise is what somebody relies on: on disk (fsynced) before it is acknowledged.
	promise
)

const (
	mib = 1 << 20
	day = 24 * time.Hour

	// specVersion grows when streamSpecs or bucketSpecs change; a node never undoes what a newer one made.
	specVersion = 1
	specKey     = "parley.spec"

	// markerTTL is how long the news that a key is gone stays in a bucket. Watches see it at once; it stays only so
	// that one who looks a little later with the NATS tools sees it too.
	markerTTL = time.Minute

	// dedupeWindow is how long a message id is remembered.
	dedupeWindow = 2 * time.Minute

	maxMessage = 8 * mib
)

// spec is one stream or bucket as the platform wants it.
type spec struct {
	name     string // stream or bucket
	prefix   string // first token of its subjects; streams only
	class    class
	maxBytes int64
	maxAge   time.Duration // streams only
	refuse   bool          // when full, refuse the new rather than drop the old
	work     bool          // work queue: a message is gone once it is taken
	about    string
}

// streamSpecs are the event streams. Promises refuse when full, so that nothing promised is dropped unseen.
var streamSpecs = [...]spec{
	{StreamCalls, "call", presence, 512 * mib, 7 * day, false, false, "T-Library call events"},
	{StreamAgents, "agent", presence, 64 * mib, 7 * day, false, false, "agent state events"},
	{StreamDevices, "device", presence, 64 * mib, 3 * day, false, false, "devices in and out of service"},
	{StreamInteractions, "ixn", promise, 128 * mib, 30 * day, true, false, "digital interactions and callbacks"},
	{StreamWork, "work", promise, 64 * mib, 7 * day, true, true, "new interactions, each to one orchestration node"},
	{StreamConfig, "config", promise, 64 * mib, 90 * day, false, false, "configuration changes"},
	{StreamVoicemail, "voicemail", promise, 128 * mib, 90 * day, true, false, "voicemail deposits, reads, MWI"},
	{StreamQuality, "quality", presence, 128 * mib, 7 * day, false, false, "voice quality of media legs"},
	{StreamCDR, "cdr", promise, 512 * mib, 90 * day, true, false, "one record a call"},
}

// bucketSpecs are the key-value buckets; all hold presence-like state.
var bucketSpecs = [...]spec{
	{name: BucketNodes, maxBytes: 8 * mib, about: "nodes alive"},
	{name: BucketRegistrations, maxBytes: 512 * mib, about: "device registrations"},
	{name: BucketBans, maxBytes: 32 * mib, about: "sources not served for a while"},
	{name: BucketCalls, maxBytes: 128 * mib, about: "call snapshots for failover"},
	{name: BucketAgents, maxBytes: 64 * mib, about: "agents and their states"},
	{name: BucketReservations, maxBytes: 16 * mib, about: "agents reserved for an interaction"},
	{name: BucketSessions, maxBytes: 128 * mib, about: "orchestration sessions"},
	{name: BucketQueues, maxBytes: 32 * mib, about: "queues and who waits in them"},
	{name: BucketLeases, maxBytes: 8 * mib, about: "who does a job that only one may do"},
	{name: BucketMonitoring, maxBytes: 8 * mib, about: "who wants to be in whose calls"},
}

// Limits changes the size of one stream or bucket; zero keeps the default.
type Limits struct {
	MaxBytes int64         `yaml:"max_bytes"` // bytes on disk, on each replica
	MaxAge   time.Duration `yaml:"max_age"`   // streams only
}

// StoreNeeded is how many bytes the streams and buckets reserve together on each node.
// The JetStream's store limit must be at least this, or Connect fails.
func StoreNeeded(limits map[string]Limits) int64 {
	var sum int64
	for _, s := range append(slices.Clone(streamSpecs[:]), bucketSpecs[:]...) {
		sum += s.with(limits[s.name]).maxBytes
	}
	return sum
}

func (s spec) with(l Limits) spec {
	if l.MaxBytes > 0 {
		s.maxBytes = l.MaxBytes
	}
	if l.MaxAge > 0 && s.prefix != "" {
		s.maxAge = l.MaxAge
	}
	return s
}

// config is the JetStream's view of s. optOut is whether presence has to be kept from a server that fsyncs every write.
func (s spec) config(replicas int, optOut bool) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:        s.name,
		Description: s.about,
		Subjects:    []string{s.prefix + ".>"},
		MaxBytes:    s.maxBytes,
		MaxAge:      s.maxAge,
		MaxMsgSize:  maxMessage,
		MaxMsgs:     -1,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Duplicates:  dedupeWindow,
		AllowDirect: true,
		Metadata:    map[string]string{specKey: strconv.Itoa(specVersion)},
	}
	if s.refuse {
		c.Discard = jetstream.DiscardNew
	}
	if s.work {
		c.Retention = jetstream.WorkQueuePolicy
	}
	if s.prefix == "" { // a bucket, laid out as the NATS tools expect one
		c.Name = kvStream(s.name)
		c.Subjects = []string{kvSubject(s.name, Rest)}
		c.MaxMsgsPerSubject = 1
		c.Discard = jetstream.DiscardNew
		c.AllowRollup = true
		c.DenyDelete = true
		c.AllowMsgTTL = true
		c.SubjectDeleteMarkerTTL = markerTTL
	}
	if s.class == presence && replicas == 1 && optOut {
		// Of a replicated stream the server always syncs the Raft log, and a stream made with this mode could
		// never become one.
		c.PersistMode = jetstream.AsyncPersistMode
	}
	return c
}

func kvStream(bucket string) string       { return "KV_" + bucket }
func kvSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// reconciler makes every stream and bucket what its spec says.
type reconciler struct {
	js        jetstream.JetStream
	log       *slog.Logger
	replicas  int
	limits    map[string]Limits
	clustered bool   // the server is one of several
	syncer    Syncer // nil: the server fsyncs by itself
}

// run returns how many replicas each stream has.
func (r *reconciler) run(ctx context.Context) (map[string]int, error) {
	for name := range r.limits {
		known := func(s spec) bool { return s.name == name }
		if !slices.ContainsFunc(streamSpecs[:], known) && !slices.ContainsFunc(bucketSpecs[:], known) {
			return nil, fmt.Errorf("fabric.limits.%s: no stream or bucket of that name", name)
		}
	}
	var mu sync.Mutex
	replicas := map[string]int{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, s := range append(slices.Clone(streamSpecs[:]), bucketSpecs[:]...) {
		want := s.with(r.limits[s.name]).config(r.replicas, r.syncer == nil && !r.clustered)
		g.Go(func() error {
			n, err := r.persist(ctx, want)
			if err != nil {
				return fmt.Errorf("stream %s: %w", want.Name, err)
			}
			mu.Lock()
			replicas[want.Name] = n
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return replicas, r.syncPromises()
}

// syncPromises puts on disk what an earlier process has left, and the streams themselves if they are new.
func (r *reconciler) syncPromises() error {
	if r.syncer == nil {
		return nil
	}
	for _, s := range streamSpecs {
		if s.class != promise {
			continue
		}
		if err := r.syncer.SyncStream(s.name); err != nil {
			return fmt.Errorf("stream %s: %w", s.name, err)
		}
	}
	return nil
}

const (
	ensureTime = 2 * time.Second // for one attempt; when several nodes make a stream at once, an answer may be lost
	ensureWait = 100 * time.Millisecond
)

// persist is ensure until it succeeds, fails for good or ctx ends: a cluster may have no leader or too few peers yet.
func (r *reconciler) persist(ctx context.Context, want jetstream.StreamConfig) (replicas int, err error) {
	for {
		once, cancel := context.WithTimeout(ctx, ensureTime)
		replicas, err := r.ensure(once, want)
		cancel()
		if err == nil || !startingUp(err) {
			return replicas, err
		}
		r.log.LogAttrs(ctx, slog.LevelDebug, "waiting for the JetStream", slog.String("stream", want.Name), slog.Any("err", err))
		select {
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), err)
		case <-time.After(ensureWait):
		}
	}
}

// startingUp tells an error that passes once the cluster has formed.
func startingUp(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case jsNoPeers, jsNotAvailable, jsNotLeader, jsInsufficient, jsStreamOffline, jsStreamOfflineReason:
		return true
	}
	return false
}

// ensure creates the stream want, or changes the one there is where it differs. Several nodes may do this at once:
// they ask for the same, and one who finds the work of a newer version, or more replicas, leaves them.
func (r *reconciler) ensure(ctx context.Context, want jetstream.StreamConfig) (replicas int, err error) {
	have, err := r.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = r.js.CreateStream(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return want.Replicas, err
		}
		have, err = r.js.Stream(ctx, want.Name) // another node was faster, with other limits
	}
	if err != nil {
		return 0, err
	}
	got := have.CachedInfo().Config
	if got.PersistMode == jetstream.AsyncPersistMode && r.syncer != nil {
		return 0, errAsync
	}
	merged, changed := merge(got, want)
	if !changed {
		return merged.Replicas, nil
	}
	_, err = r.js.UpdateStream(ctx, merged)
	return merged.Replicas, err
}

// errAsync is about a store that a version before the first release has made: the server cannot change the mode, and to
// delete what is stored is not for us to decide.
var errAsync = errors.New("it was made with persist mode async, which loses acknowledged writes and cannot be changed: " +
	"move fabric.store_dir away to begin with an empty one")

// merge returns got with what want says, and whether that is a change.
func merge(got, want jetstream.StreamConfig) (jetstream.StreamConfig, bool) {
	if v, err := strconv.Atoi(got.Metadata[specKey]); err == nil && v > specVersion {
		return got, false
	}
	m := got
	m.Description = want.Description
	m.Subjects = want.Subjects
	m.MaxBytes, m.MaxAge, m.MaxMsgSize = want.MaxBytes, want.MaxAge, want.MaxMsgSize
	m.MaxMsgsPerSubject, m.Discard = want.MaxMsgsPerSubject, want.Discard
	m.Replicas = max(got.Replicas, want.Replicas)
	m.Duplicates, m.AllowDirect, m.SubjectDeleteMarkerTTL = want.Duplicates, want.AllowDirect, want.SubjectDeleteMarkerTTL
	m.Metadata = maps.Clone(got.Metadata)
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[specKey] = want.Metadata[specKey]
	changed := m.Description != got.Description || !slices.Equal(m.Subjects, got.Subjects) ||
		m.MaxBytes != got.MaxBytes || m.MaxAge != got.MaxAge || m.MaxMsgSize != got.MaxMsgSize ||
		(m.MaxMsgsPerSubject != got.MaxMsgsPerSubject && max(m.MaxMsgsPerSubject, got.MaxMsgsPerSubject) > 0) ||
		m.Discard != got.Discard || m.Replicas != got.Replicas || m.Duplicates != got.Duplicates ||
		m.AllowDirect != got.AllowDirect || m.SubjectDeleteMarkerTTL != got.SubjectDeleteMarkerTTL ||
		m.Metadata[specKey] != got.Metadata[specKey]
	return m, changed
}
