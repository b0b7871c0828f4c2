package config

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/passwd"
	"parley/internal/voice"
)

// directory runs a directory until the test ends.
func directory(t testing.TB, f *fabric.Fabric) (d *contract.Directory, stop func()) {
	t.Helper()
	d = contract.NewDirectory(f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("directory: %v", err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

func TestDirectoryKnowsAndFollows(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	d, _ := directory(t, r.f)
	<-d.Synced()
	changes := make(chan contract.DirectoryChange, 100)
	d.OnChange(func(c contract.DirectoryChange) { changes <- c })

	want := passwd.SIP("1001", "demo.local", "s3cret-1001")
	dn, ok := d.DN("demo", "1001")
	if !ok || !dn.HasAuth || fmt.Sprintf("%x", dn.MD5) != want.MD5 || fmt.Sprintf("%x", dn.SHA256) != want.SHA256 || dn.Type != voice.DNExtension || dn.Version != 1 {
		t.Fatalf("1001 = %+v, %v", dn, ok)
	}
	if gw, ok := d.DN("demo", "gw1"); !ok || gw.HasAuth {
		t.Errorf("gw1 = %+v, %v", gw, ok)
	} else if o, err := gw.Options(); err != nil || o["TServer"]["contact"] != "sip:10.0.0.9:5060" {
		t.Errorf("options of gw1 = %v, %v", o, err)
	}
	for host, name := range map[string]string{"demo.local": "demo", "DEMO.local.": "demo", "10.1.2.3": "demo", "elsewhere.test": "demo", "": "demo"} {
		if tenant, ok := d.TenantByHost(host); !ok || tenant.Name != name || tenant.Realm != "demo.local" {
			t.Errorf("TenantByHost(%q) = %+v, %v, want %s", host, tenant, ok, name)
		}
	}
	if _, ok := d.DN("demo", "nobody"); ok {
		t.Error("a number that is not there is known")
	}

	r.mustApply("tenants: [{name: acme, domains: [acme.local], dns: [{number: '1001', type: extension, password: another}]}]")
	eventually(t, "the new tenant is known", func() bool {
		tenant, ok := d.TenantByHost("acme.local")
		_, has := d.DN("acme", "1001")
		return ok && tenant.Name == "acme" && has
	})
	if _, err := r.putBody("demo", voice.KindDN, "1001", -1, `{"type":"extension","password":"new-s3cret"}`); err != nil {
		t.Fatal(err)
	}
	want = passwd.SIP("1001", "demo.local", "new-s3cret")
	eventually(t, "the new password is known", func() bool {
		now, ok := d.DN("demo", "1001")
		return ok && fmt.Sprintf("%x", now.MD5) == want.MD5 && now.Version == 2
	})
	if dn.Version != 1 {
		t.Error("a record that was given out has changed")
	}
	if err := r.remove("demo", voice.KindDN, "1002", -1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deleted number is gone", func() bool { _, ok := d.DN("demo", "1002"); return !ok })
	told := map[contract.DirectoryChange]bool{}
	for range 4 {
		told[<-changes] = true
	}
	for _, c := range []contract.DirectoryChange{{Tenant: "acme", Op: voice.OpCreate}, {Tenant: "acme", Number: "1001", Op: voice.OpCreate}, {Tenant: "demo", Number: "1001", Op: voice.OpUpdate}, {Tenant: "demo", Number: "1002", Op: voice.OpDelete}} {
		if !told[c] {
			t.Errorf("%+v was not told, only %v", c, told)
		}
	}
}

func TestDirectoryWaitsForTheService(t *testing.T) {
	t.Parallel()
	f := fabrictest.New(t)
	d, stop := directory(t, f)
	if _, ok := d.TenantByHost("demo.local"); ok {
		t.Error("a directory that knows nothing knows a tenant")
	}
	r := start(t, rigOptions{fabric: f})
	r.mustApply(demoFile)
	<-d.Synced()
	eventually(t, "the directory knows 1001", func() bool { _, ok := d.DN("demo", "1001"); return ok })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.DN("demo", "1001"); !ok {
		t.Error("with the service away the directory has forgotten")
	}
	stop()
}

func TestDirectoryClosesGaps(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{idle: true}) // announces nothing
	stop, err := r.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r.mustApply(demoFile)
	d, _ := directory(t, r.f)
	<-d.Synced()
	again := make(chan contract.DirectoryChange, 100)
	d.OnChange(func(c contract.DirectoryChange) { again <- c })
	if err := r.remove("demo", voice.KindDN, "1002", -1); err != nil { // nobody hears of it
		t.Fatal(err)
	}
	eventually(t, "the directory has noticed", func() bool { _, ok := d.DN("demo", "1002"); return !ok })
	if c := <-again; c != (contract.DirectoryChange{}) {
		t.Errorf("told %+v, want that anything may have changed", c)
	}
}

func TestDirectorySurvivesNonsenseOnTheStream(t *testing.T) {
	t.Parallel()
	r := start(t, rigOptions{})
	r.mustApply(demoFile)
	d, _ := directory(t, r.f)
	<-d.Synced()
	for _, payload := range []any{json.RawMessage(`"nonsense"`), json.RawMessage(`{"tenant":"demo","kind":"dns","key":"1002","seq":3}`)} {
		if _, err := r.f.PublishSync(t.Context(), fabric.Event{Subject: fabric.Subject("config", "demo", "dns", "1002"), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.remove("demo", voice.KindDN, "1002", -1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "1002 is gone", func() bool { _, ok := d.DN("demo", "1002"); return !ok })
}

// TestBulkReachesTheDirectory measures on the way what a big apply and a record cost.
func TestBulkReachesTheDirectory(t *testing.T) {
	const n = 2500 // more than the directory follows one by one
	r := start(t, rigOptions{})
	d, _ := directory(t, r.f)
	<-d.Synced()
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	text := strings.ReplaceAll(string(manyExtensions(n)), "type: extension", `type: extension, options: {TServer: {contact: "*"}}`)
	start := time.Now()
	r.mustApply(text)
	took := time.Since(start)
	eventually(t, "the directory knows the last number", func() bool { _, ok := d.DN("demo", fmt.Sprintf("%06d", n-1)); return ok && d.Len() == n })
	t.Logf("apply %v, known %v after its begin", took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	eventually(t, "everything is announced", func() bool { // which takes memory of its own
		seq, err1 := r.store.Seq(t.Context())
		done, err2 := r.store.Announced(t.Context())
		return err1 == nil && err2 == nil && done == seq
	})
	before := heap()
	second, stop := directory(t, r.f)
	<-second.Synced()
	each := (heap() - before) / n
	t.Logf("%d bytes a number", each)
	if each > 300 {
		t.Errorf("a number takes %d bytes, want about 200", each)
	}
	runtime.KeepAlive(second)
	stop()
}

func BenchmarkDirectoryRead(b *testing.B) {
	r := start(b, rigOptions{})
	r.mustApply(string(manyExtensions(1000)))
	d, _ := directory(b, r.f)
	<-d.Synced()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, _ := d.TenantByHost("demo.local")
			if _, ok := d.DN(t.Name, "000500"); !ok {
				b.Fatal("gone")
			}
		}
	})
}
