package trunk

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"parley/internal/contract"
	"parley/internal/sipua"
)

// run lets the table work within the bubble of a test until the test ends it.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.table.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// A target that is asked is unwatched until it answers, in service while it does, out of service oos-force seconds after it
// stopped, and back with the first answer; asked every oos-check seconds while in service, every recovery-timeout else.
func TestHealthByOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		var silent atomic.Bool
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response {
			if silent.Load() {
				return nil
			}
			return reply(req, 404) // it does not know whom we ask for, and is there all the same
		})
		r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10", "oos-check": "10", "oos-force": "3", "recovery-timeout": "20"})
		if s := r.only(); s.State != contract.TrunkUnwatched {
			t.Errorf("before the first answer it is %s", s.State)
		}
		defer r.run()()
		time.Sleep(time.Second)
		if s := r.only(); s.State != contract.TrunkInService || s.Targets[0].RTTMillis < 10 || s.Targets[0].Checked.IsZero() {
			t.Errorf("after an answer: %+v", s)
		}
		time.Sleep(20 * time.Second)
		if n := r.count(); n != 3 {
			t.Errorf("%d OPTIONS in 21 s, want one every 10 s", n)
		}
		silent.Store(true)
		time.Sleep(10*time.Second + 2*time.Second) // asked at 30 s
		if s := r.only(); s.State != contract.TrunkInService {
			t.Errorf("2 s after an OPTIONS without answer it is %s (%s)", s.State, s.Reason)
		}
		time.Sleep(2 * time.Second)
		s := r.only()
		if s.State != contract.TrunkOutOfService || s.OutOfServ != 1 || !strings.Contains(s.Reason, "no answer to OPTIONS for 3s") {
			t.Fatalf("4 s after an OPTIONS without answer: %+v", s)
		}
		if _, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"}); !errors.Is(err, ErrOut) {
			t.Errorf("a call gets %v", err)
		}
		if v, ok := r.table.Find("demo", "gw1").inService(); v != 0 || !ok {
			t.Errorf("the metric says %v, %v", v, ok)
		}
		if trouble := r.table.Trouble(); !strings.Contains(trouble, "demo/gw1") {
			t.Errorf("readyz says %q", trouble)
		}
		before := r.count()
		silent.Store(false)
		time.Sleep(15 * time.Second) // out since 33 s, asked again at 53 s
		if n := r.count(); n != before {
			t.Errorf("asked %d times before the recovery timeout", n-before)
		}
		time.Sleep(6 * time.Second)
		if s := r.only(); s.State != contract.TrunkInService || s.Reason != "" || s.OutOfServ != 1 {
			t.Errorf("after it came back: %+v", s)
		}
		since := r.only().Since
		r.put("gw1", "trunk", map[string]string{"contact": "sip:192.0.2.10", "oos-check": "10", "oos-force": "3", "capacity": "9"})
		time.Sleep(time.Second)
		if s := r.only(); s.State != contract.TrunkInService || s.Capacity != 9 || !s.Since.Equal(since) {
			t.Errorf("another option made it forget how it is: %+v", s)
		}
	})
}

// 503 says "not now", at once; a connection that is refused gets oos-force seconds to come up.
func TestHealthOfTargetsThatRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		var status atomic.Int64
		status.Store(503)
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response {
			return reply(req, int(status.Load()), "Warning", `399 parley "bad certificate"`)
		})
		r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10;transport=tcp", "oos-check": "5", "oos-force": "4"})
		defer r.run()()
		time.Sleep(time.Second)
		if s := r.only(); s.State != contract.TrunkOutOfService || !strings.Contains(s.Reason, "503") {
			t.Errorf("after a 503: %+v", s)
		}
		status.Store(200)
		time.Sleep(5 * time.Second)
		if s := r.only(); s.State != contract.TrunkInService {
			t.Fatalf("after a 200: %+v", s)
		}
		status.Store(statusNoFlow)
		time.Sleep(6 * time.Second)
		if s := r.only(); s.State != contract.TrunkInService {
			t.Errorf("soon after a refused connection: %+v", s)
		}
		time.Sleep(4 * time.Second)
		if s := r.only(); s.State != contract.TrunkOutOfService || !strings.Contains(s.Reason, "certificate") {
			t.Errorf("seconds later: %+v", s)
		}
	})
}

// Without OPTIONS a call that was not taken tells: the target is left out for the recovery timeout, and believed again.
func TestFailedCallsTakeTargetsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		r.trunk("gw1", map[string]string{"contact": "sip:192.0.2.10", "contact-backup": "sip:192.0.2.11", "recovery-timeout": "30"})
		defer r.run()()
		synctest.Wait()
		leave := func() *Exit {
			t.Helper()
			e, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"})
			if err != nil {
				t.Fatal(err)
			}
			e.Release()
			return e
		}
		e := leave()
		if len(e.Hops) != 2 || e.Hops[0].Contact != "sip:192.0.2.10" {
			t.Fatalf("hops %+v", e.Hops)
		}
		e.Failed(0, "no answer to a call")
		if e := leave(); len(e.Hops) != 1 || e.Hops[0].Contact != "sip:192.0.2.11" {
			t.Errorf("after a failure the hops are %+v", e.Hops)
		}
		if s := r.only(); s.State != contract.TrunkUnwatched || s.Targets[0].State != contract.TrunkOutOfService || s.Targets[0].Reason != "no answer to a call" {
			t.Errorf("%+v", s)
		}
		time.Sleep(31 * time.Second)
		if e := leave(); len(e.Hops) != 2 {
			t.Errorf("after the recovery timeout the hops are %+v", e.Hops)
		}
		if n := r.count(); n != 0 {
			t.Errorf("%d OPTIONS were sent to a trunk that is not to be asked", n)
		}
	})
}

// Options that change take effect, and what was counted stays.
func TestTrunkChangesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.attach(nil)
		r.answering(func(_ int, req *sip.Request, _ sipua.Flow) *sip.Response { return reply(req, 200) })
		r.put("gw1", "trunk", map[string]string{"contact": "sip:192.0.2.10"})
		defer r.run()()
		synctest.Wait()
		e, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"})
		if err != nil {
			t.Fatal(err)
		}
		e.Sent()
		e.Said(404)
		r.put("gw1", "trunk", map[string]string{"contact": "sip:192.0.2.10", "oos-check": "5", "capacity": "1"})
		time.Sleep(time.Second)
		s := r.only()
		if s.State != contract.TrunkInService || s.Created != 1 || s.Answers4 != 1 || s.Calls != 1 || s.Capacity != 1 {
			t.Errorf("after the change: %+v", s)
		}
		if _, err := r.table.Leave(Leaving{Tenant: "demo", DN: "gw1", Number: "1"}); !errors.Is(err, ErrFull) {
			t.Errorf("a second call: %v", err)
		}
		e.Release()
		e.Release()
		if s := r.only(); s.Calls != 0 {
			t.Errorf("%d calls after the end", s.Calls)
		}
		r.mu.Lock()
		delete(r.dns, "gw1")
		r.mu.Unlock()
		r.table.Changed(contract.DirectoryChange{})
		synctest.Wait()
		if all := r.table.Status("", ""); len(all) != 0 {
			t.Errorf("a deleted trunk is still there: %+v", all)
		}
	})
}
