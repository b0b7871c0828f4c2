package fabric_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
)

// inspect is a connection of its own to look at what the fabric made.
func inspect(t testing.TB, srv fabric.InProcess) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func configOf(t testing.TB, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(testContext(t), name)
	if err != nil {
		t.Fatalf("stream %s: %v", name, err)
	}
	return s.CachedInfo().Config
}

// TestStreams: every stream and bucket is there, limited, and written before it is acknowledged.
func TestStreams(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	fabrictest.Connect(t, srv, "a")
	js := inspect(t, srv)
	var sum int64
	names := js.StreamNames(testContext(t))
	count := 0
	for name := range names.Name() {
		count++
		c := configOf(t, js, name)
		sum += c.MaxBytes
		if c.MaxBytes <= 0 || c.MaxMsgSize <= 0 || c.Storage != jetstream.FileStorage || c.Replicas != 1 {
			t.Errorf("%s: %+v", name, c)
		}
		if c.PersistMode != jetstream.DefaultPersistMode {
			t.Errorf("%s: persist mode %v", name, c.PersistMode)
		}
		if bucket := strings.HasPrefix(name, "KV_"); bucket {
			if !c.AllowMsgTTL || c.SubjectDeleteMarkerTTL <= 0 || c.MaxMsgsPerSubject != 1 || c.Discard != jetstream.DiscardNew {
				t.Errorf("%s: %+v", name, c)
			}
		} else if c.MaxAge <= 0 {
			t.Errorf("%s has no age limit", name)
		}
	}
	if err := names.Err(); err != nil || count != 19 {
		t.Errorf("%d streams, %v", count, err)
	}
	if want := fabric.StoreNeeded(nil); sum != want {
		t.Errorf("limits add up to %d, StoreNeeded says %d", sum, want)
	}
}

// TestServerThatSyncs: where the server fsyncs every write by itself, presence opts out. A node that would have to rely
// on such a stream's acknowledgements later says so instead.
func TestServerThatSyncs(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	fabrictest.Connect(t, srv.Server, "a")
	js := inspect(t, srv)
	promise := map[string]bool{"INTERACTIONS": true, "WORK": true, "CONFIG": true, "VOICEMAIL": true, "CDR": true}
	names := js.StreamNames(testContext(t))
	for name := range names.Name() {
		c := configOf(t, js, name)
		if async := c.PersistMode == jetstream.AsyncPersistMode; async == promise[name] {
			t.Errorf("%s: persist mode %v", name, c.PersistMode)
		}
	}
	if err := names.Err(); err != nil {
		t.Error(err)
	}
	_, err := fabric.Connect(testContext(t), fabric.Options{Node: "b", Server: srv})
	if err == nil || !strings.Contains(err.Error(), "fabric.store_dir") {
		t.Errorf("Connect = %v, want an error that names the store", err)
	}
}

// TestReconcile: limits follow the configuration; what is stored stays.
func TestReconcile(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	js := inspect(t, srv)
	first := fabrictest.Connect(t, srv, "a")
	if _, err := first.PublishSync(testContext(t), fabric.Event{Subject: call(1)}); err != nil {
		t.Fatal(err)
	}
	before := configOf(t, js, "CALLS")
	limits := map[string]fabric.Limits{"CALLS": {MaxBytes: 1 << 20, MaxAge: time.Hour}, "agents": {MaxBytes: 1 << 20}}
	second := connect(t, fabric.Options{Node: "b", Server: srv, Limits: limits})
	if c := configOf(t, js, "CALLS"); c.MaxBytes != 1<<20 || c.MaxAge != time.Hour || c.Discard != before.Discard {
		t.Errorf("CALLS is %+v", c)
	}
	if c := configOf(t, js, "KV_agents"); c.MaxBytes != 1<<20 {
		t.Errorf("KV_agents is %+v", c)
	}
	if m := next(t, subscribe(t, first, fabric.StreamCalls, "", fabric.From{})); m.Seq != 1 {
		t.Errorf("%+v", m)
	}
	if err := closeNow(t, second); err != nil {
		t.Error(err)
	}
	if _, err := fabric.Connect(testContext(t), fabric.Options{Node: "c", Server: srv, Limits: map[string]fabric.Limits{"CALL": {}}}); err == nil || !strings.Contains(err.Error(), "fabric.limits.CALL") {
		t.Errorf("a limit for nothing: %v", err)
	}
	if err := closeNow(t, connect(t, fabric.Options{Node: "c", Server: srv, Limits: map[string]fabric.Limits{"CALLS": {MaxBytes: 2 << 20}}})); err != nil {
		t.Error(err)
	}
	if c := configOf(t, js, "CALLS"); c.MaxBytes != 2<<20 || c.MaxAge != before.MaxAge {
		t.Errorf("CALLS is %+v", c)
	}
}

// TestReconcileLeavesNewer: an older node does not undo what a newer version made of a stream.
func TestReconcileLeavesNewer(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	js := inspect(t, srv)
	fabrictest.Connect(t, srv, "a")
	c := configOf(t, js, "CALLS")
	c.Metadata["parley.spec"] = "99"
	c.MaxBytes = 7 << 20
	if _, err := js.UpdateStream(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	fabrictest.Connect(t, srv, "b")
	if c := configOf(t, js, "CALLS"); c.MaxBytes != 7<<20 {
		t.Errorf("CALLS was changed to %+v", c)
	}
}

// TestConnectTogether: nodes that start at the same moment do not get into each other's way.
func TestConnectTogether(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	var g errgroup.Group
	for _, node := range []string{"a", "b", "c", "d"} {
		g.Go(func() error {
			f, err := fabric.Connect(testContext(t), fabric.Options{Node: node, Server: srv})
			if err != nil {
				return err
			}
			return f.Close(testContext(t))
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestConnectFails(t *testing.T) {
	srv := fabrictest.Server(t, t.TempDir())
	cut := &link{to: srv}
	cut.cut()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for what, o := range map[string]fabric.Options{
		"no node":        {Server: srv},
		"no server":      {Node: "a", Server: cut},
		"nothing at URL": {Node: "a", URL: "nats://127.0.0.1:1"},
		"no cluster":     {Node: "a", Server: srv, Replicas: 3},
	} {
		if f, err := fabric.Connect(ctx, o); err == nil {
			t.Errorf("%s: connected", what)
			_ = closeNow(t, f)
		}
	}
	small, err := server.NewServer(&server.Options{ServerName: "small", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 20, JetStreamMaxMemory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	small.Start()
	defer small.WaitForShutdown()
	defer small.Shutdown()
	if _, err := fabric.Connect(ctx, fabric.Options{Node: "a", Server: small}); err == nil {
		t.Error("connected to a server without room for the streams")
	} else {
		t.Log(err)
	}
}
