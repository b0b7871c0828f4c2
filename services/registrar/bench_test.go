package registrar

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/fabric/fabrictest"
	"parley/internal/sipua/digest"
	"parley/internal/voice"
)

// nowhere is a bucket and an event stream that take everything at once: what a REGISTER costs without the fabric.
type nowhere struct{ rev atomic.Uint64 }

func (n *nowhere) Get(context.Context, string) (fabric.Entry, error) {
	return fabric.Entry{}, voice.ErrNotFound
}
func (n *nowhere) Put(context.Context, string, []byte, fabric.PutOptions) (uint64, error) {
	return n.rev.Add(1), nil
}
func (n *nowhere) PutAsync(_ string, _ []byte, _ fabric.PutOptions, done func(uint64, error)) {
	done(n.rev.Add(1), nil)
}
func (n *nowhere) Delete(context.Context, string, fabric.PutOptions) error { return nil }
func (n *nowhere) Watch(context.Context, string, func(fabric.Entry), func()) error {
	return nil
}
func (n *nowhere) Publish(fabric.Event) error  { return nil }
func (n *nowhere) Flush(context.Context) error { return nil }

// crowd is a directory of count numbers in one tenant, without a config service.
type crowd struct {
	tenant contract.TenantRecord
	dns    map[string]*contract.DNRecord
}

func newCrowd(count int) *crowd {
	c := &crowd{
		tenant: contract.TenantRecord{Name: "demo", Domains: []string{realm}, Realm: realm, Default: true},
		dns:    make(map[string]*contract.DNRecord, count),
	}
	for i := range count {
		n := strconv.Itoa(100000 + i)
		r := &contract.DNRecord{Tenant: "demo", Number: n, Type: voice.DNExtension, HasAuth: true}
		copy(r.MD5[:], digest.HA1(digest.MD5, n, realm, password))
		c.dns[n] = r
	}
	return c
}

func (c *crowd) TenantByHost(string) (*contract.TenantRecord, bool) { return &c.tenant, true }
func (c *crowd) DN(_, number string) (*contract.DNRecord, bool) {
	r, ok := c.dns[number]
	return r, ok
}
func (c *crowd) Synced() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}
func (c *crowd) OnChange(func(contract.DirectoryChange)) {}

// bareService is a registrar with everything but a fabric.
func bareService(tb testing.TB, dir Directory, change func(*Options)) *Service {
	tb.Helper()
	o := Options{Directory: dir, Config: DefaultConfig()}
	if change != nil {
		change(&o)
	}
	s, err := build(o, "n1")
	if err != nil {
		tb.Fatal(err)
	}
	n := &nowhere{}
	s.fabric, s.bucket, s.banBucket = n, n, n
	s.registerMetrics(nil, nil)
	if err := s.admit([]byte("0123456789abcdef0123456789abcdef")); err != nil {
		tb.Fatal(err)
	}
	return s
}

func benchRequest(dn string, cseq uint32) *contract.RegisterRequest {
	return &contract.RegisterRequest{
		RequestURI: "sip:" + realm, Host: realm, ToUser: dn, ToHost: realm, CallID: "1-8721@127.0.0.1-" + dn, CSeq: cseq,
		Contacts: []string{"<sip:" + dn + "@127.0.0.1:5070;transport=udp>"}, Expires: "600", UserAgent: "Acme Phone 7.1.2",
		Transport: "udp", Source: netip.MustParseAddrPort("127.0.0.1:5070"), Via: "127.0.0.1:5070", Node: "n1",
	}
}

// sign adds credentials for a fresh nonce, as a phone would after a challenge.
func sign(s *Service, r *contract.RegisterRequest, dn string) {
	k := s.keeper.Load()
	nonce := k.Nonce(k.Scope(realm, r.Source.Addr()))
	challenge := string(digest.AppendChallenge(nil, realm, digest.MD5, nonce, false))
	r.Authorization = []string{authorization(digest.MD5, challenge, dn, password, r.RequestURI, 1)}
}

func BenchmarkChallenge(b *testing.B) {
	s := bareService(b, newCrowd(1000), nil)
	r := benchRequest("100007", 1)
	b.ReportAllocs()
	for b.Loop() {
		if resp, _ := s.Register(b.Context(), r); resp.Status != 401 {
			b.Fatal(resp)
		}
	}
}

// BenchmarkStranger compares wrong credentials for a number that exists with those for one that does not. The sources
// are never banned, so that each answer is worked out.
func BenchmarkStranger(b *testing.B) {
	for name, dn := range map[string]string{"known": "100007", "unknown": "999999"} {
		b.Run(name, func(b *testing.B) {
			s := bareService(b, newCrowd(1000), func(o *Options) { o.Config.Bans.Failures = 0 })
			r := benchRequest(dn, 1)
			sign(s, r, "100008")
			r.Authorization[0] = strings.Replace(r.Authorization[0], `"100008"`, `"`+dn+`"`, 1)
			for b.Loop() {
				if resp, _ := s.Register(b.Context(), r); resp.Status != 401 {
					b.Fatal(resp)
				}
			}
		})
	}
}

// BenchmarkRegister is a refresh with right credentials, each with a nonce of its own; without the fabric.
func BenchmarkRegister(b *testing.B) {
	const numbers = 1000
	s := bareService(b, newCrowd(numbers), nil)
	const ahead = 512
	reqs := make([]*contract.RegisterRequest, ahead)
	b.ReportAllocs()
	i, cseq := ahead, uint32(0)
	for b.Loop() {
		if i == ahead {
			b.StopTimer()
			cseq++
			for n := range reqs {
				dn := strconv.Itoa(100000 + n)
				reqs[n] = benchRequest(dn, cseq)
				sign(s, reqs[n], dn)
			}
			i = 0
			b.StartTimer()
		}
		if resp, _ := s.Register(b.Context(), reqs[i]); resp.Status != 200 {
			b.Fatal(resp)
		}
		i++
	}
}

// BenchmarkRegisterStored is challenge and registration through the door, stored in an embedded JetStream.
func BenchmarkRegisterStored(b *testing.B) {
	f := fabrictest.New(b)
	s := bareService(b, newCrowd(20000), nil)
	s.fabric, s.bucket, s.banBucket = f, f.Bucket(fabric.BucketRegistrations), f.Bucket(fabric.BucketBans)
	var next atomic.Uint32
	b.ReportAllocs()
	b.SetParallelism(16)
	start := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := next.Add(1)
			dn := strconv.Itoa(100000 + int(n%20000))
			r := benchRequest(dn, 2*n)
			resp, _ := s.Register(b.Context(), r)
			challenge := headers(resp, "WWW-Authenticate")[0]
			r.CSeq++
			r.Authorization = []string{authorization(digest.MD5, challenge, dn, password, r.RequestURI, 1)}
			if resp, _ := s.Register(b.Context(), r); resp.Status != 200 {
				b.Error(resp)
			}
		}
	})
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op") // server and client side of the test included
}

// cpuTime is what this process has used of the processors, which a busy machine does not distort as it does the clock.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMemory registers 100,000 contacts and reports the Go heap of each.
func BenchmarkMemory(b *testing.B) {
	const count = 100_000
	dir := newCrowd(count)
	for b.Loop() {
		s := bareService(b, dir, func(o *Options) { o.Config.Digest.Remember = 16 << 10 })
		before := liveHeap()
		fill(b, s, count, time.Hour)
		b.ReportMetric(float64(liveHeap()-before)/count, "B/contact")
		if n, c := s.Totals(); n != count || c != count {
			b.Fatalf("%d numbers with %d contacts, want %d", n, c, count)
		}
	}
}

// fill registers count numbers with a contact each, as REGISTER requests do, some at once.
func fill(tb testing.TB, s *Service, count int, lease time.Duration) {
	tb.Helper()
	const atOnce = 32
	var wg sync.WaitGroup
	for w := range atOnce {
		wg.Go(func() {
			for i := w; i < count; i += atOnce {
				dn := strconv.Itoa(100000 + i)
				r := benchRequest(dn, 1)
				r.Expires = strconv.Itoa(int(lease / time.Second))
				r.Contacts[0] += fmt.Sprintf(`;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-%012d>";reg-id=1`, i)
				sign(s, r, dn)
				if resp, _ := s.Register(tb.Context(), r); resp.Status != 200 {
					tb.Error(resp)
				}
			}
		})
	}
	wg.Wait()
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkRestart reads 100,000 registrations from the files of an embedded JetStream into a new registrar.
func BenchmarkRestart(b *testing.B) {
	const count = 100_000
	server := fabrictest.Server(b, b.TempDir())
	f := fabrictest.Connect(b, server, "n1")
	s := bareService(b, newCrowd(count), nil)
	s.fabric, s.bucket = f, f.Bucket(fabric.BucketRegistrations)
	fill(b, s, count, 2*time.Hour)
	for b.Loop() {
		f := fabrictest.Connect(b, server, "n1")
		s := bareService(b, newCrowd(0), nil)
		s.fabric, s.bucket = f, f.Bucket(fabric.BucketRegistrations)
		ctx, cancel := context.WithCancel(b.Context())
		if err := s.follow(ctx, cancel); err != nil {
			b.Fatal(err)
		}
		if n, _ := s.Totals(); n != count {
			b.Fatalf("%d numbers loaded, want %d", n, count)
		}
	}
}

// BenchmarkStorm ends 100,000 registrations in the same second.
func BenchmarkStorm(b *testing.B) {
	const count = 100_000
	for b.Loop() {
		b.StopTimer()
		f := fabrictest.New(b)
		c := &clock{}
		s := bareService(b, newCrowd(count), func(o *Options) { o.Now = c.Now })
		s.fabric, s.bucket = f, f.Bucket(fabric.BucketRegistrations)
		fill(b, s, count, time.Hour)
		c.Add(2 * time.Hour)
		b.StartTimer()
		s.expire(b.Context())
		if n, _ := s.Totals(); n != 0 {
			b.Fatalf("%d numbers left", n)
		}
	}
}
