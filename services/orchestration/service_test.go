package orchestration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"parley/internal/contract"
	"parley/internal/voice"
)

const menu = `<datamodel><data id="r"/><data id="tries" expr="0"/></datamodel>
<state id="waiting"><transition event="interaction.present" target="asking"/></state>
<state id="asking"><onentry><assign location="tries" expr="tries + 1"/>
  <dialog:playandcollect requestid="r"><dialog:prompts><dialog:prompt intid="'welcome'" interrupt="true"/></dialog:prompts><dialog:input max_digits="1"/></dialog:playandcollect></onentry>
  <transition event="dialog.playandcollect.done" cond="_event.data.requestid === r &amp;&amp; _event.data.digits === '1'" target="going"/>
  <transition event="dialog.playandcollect.done" cond="tries &lt; 3" target="asking"/>
  <transition event="error.dialog.playandcollect dialog.playandcollect.done" target="ending"/>
  <transition event="interaction.deleted" target="gone"/></state>
<state id="going"><onentry><queue:submit requestid="r" timeout="30"><queue:targets type="'dn'"><queue:target name="'1002'"/><queue:target name="'1003'"/></queue:targets></queue:submit></onentry>
  <transition event="queue.submit.done" cond="_event.data.resource.dn === '1003'" target="gone"/>
  <transition event="error.queue.submit" target="ending"/></state>
<final id="ending"/><final id="gone"/>`

func digits(ref int64, d string) func(*voice.CallEvent) {
	return func(e *voice.CallEvent) {
		e.ReferenceID, e.CollectedDigits, e.TreatmentType = ref, d, voice.TreatmentPlayAnnouncementAndDigits
		e.Extensions = voice.KVList{"COMPLETION_STATUS": "NORMAL"}
	}
}

func TestCallIsAskedAndRouted(t *testing.T) {
	r := newRig(t)
	r.script(menu)
	n := r.node("a", nil)
	r.arrives("U1")
	first := r.wants(1, "U1 treat PlayAnnouncementAndDigits")
	r.says("U1", voice.EventTreatmentApplied, ref(first))
	r.says("U1", voice.EventTreatmentEnd, digits(first, "9"))
	second := r.wants(2, "U1 treat PlayAnnouncementAndDigits")
	if second == first {
		t.Error("two requests have one ReferenceID")
	}
	r.says("U1", voice.EventTreatmentEnd, digits(second, "1"))
	to := r.wants(3, "U1 route 1002")
	r.says("U1", voice.EventError, func(e *voice.CallEvent) { e.ReferenceID, e.ErrorCode, e.ErrorMessage = to, voice.TErrBusy, "busy" })
	to = r.wants(4, "U1 route 1003")
	r.says("U1", voice.EventDiverted, func(e *voice.CallEvent) { e.ReferenceID, e.ThirdPartyDN = to, "1003" })
	eventually(t, n.idle)
	r.nothingMore(4)
}

func TestWorkThatComesTwiceIsOneSession(t *testing.T) {
	r := newRig(t)
	r.script(menu)
	n, m := r.node("a", nil), r.node("b", nil)
	r.arrives("U1")
	r.wants(1, "U1 treat PlayAnnouncementAndDigits")
	w := &voice.WorkItem{Tenant: "demo", Kind: voice.WorkVoice, ID: "U1", Queue: "9000", Seq: 2, Node: "sip1"}
	for _, at := range []*node{n, m} {
		if err := at.take(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	r.says("U1", voice.EventAbandoned, nil)
	eventually(t, func() error {
		if n.Running()+m.Running() > 0 {
			return errNotYet
		}
		return nil
	})
	if err := m.take(t.Context(), w); err != nil { // after its end too
		t.Fatal(err)
	}
	if err := m.idle(); err != nil {
		t.Error(err)
	}
	r.nothingMore(1)
}

func TestCallsThatNoScriptLooksAfter(t *testing.T) {
	for what, change := range map[string]func(r *rig){
		"missing": func(r *rig) {
			r.put(voice.KindDN, "9000", voice.DN{Number: "9000", Application: "none", Options: map[string]map[string]string{"TServer": {"default-dn": "1009"}}})
		},
		"broken": func(r *rig) { r.script(`<state><transition target="nowhere"/></state>`) },
		"ends": func(r *rig) {
			r.script(`<state id="a"><transition event="interaction.present" target="b"/></state><final id="b"/>`)
		},
		"runs for ever": func(r *rig) {
			r.script(`<state id="a"><transition event="interaction.present" target="b"/></state><state id="b"><transition target="b"/></state>`)
		},
		"web server down": func(r *rig) {
			down := httptest.NewServer(http.NotFoundHandler())
			down.Close()
			r.put(voice.KindDN, "9000", voice.DN{Number: "9000", Options: map[string]map[string]string{
				"TServer": {"default-dn": "1009"}, "Application": {"url": down.URL + "/x.scxml", "alternate-url": down.URL + "/y.scxml"},
			}})
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			change(r)
			n := r.node("a", nil)
			r.arrives("U1")
			r.wants(1, "U1 route 1009")
			eventually(t, n.idle)
			r.nothingMore(1)
		})
	}
}

func TestApplicationByAddress(t *testing.T) {
	r := newRig(t)
	var asked atomic.Pointer[string]
	good := doc(`<state id="a"><transition event="interaction.present" target="b"/></state><state id="b"><onentry><ixn:redirect destination="'10' + colour"/></onentry></state><datamodel><data id="colour"/></datamodel>`)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		u := q.URL.String()
		if strings.HasPrefix(u, "/bad") {
			fmt.Fprint(w, "<not-scxml/>")
			return
		}
		asked.Store(&u)
		fmt.Fprint(w, good)
	}))
	t.Cleanup(web.Close)
	r.put(voice.KindDN, "9000", voice.DN{Number: "9000", Options: map[string]map[string]string{
		"Application": {"url": web.URL + "/bad", "alternate-url": web.URL + "/app?to=[DNIS]&from=[ANI]&who=[UDATA.name]&x=[NOBODY]", "colour": "77"},
	}})
	r.node("a", nil)
	r.says("U1", voice.EventDialing, func(e *voice.CallEvent) { e.UserData = voice.KVList{"name": "Ada & Co"} })
	r.says("U1", voice.EventQueued, nil)
	r.says("U1", voice.EventRouteRequest, nil)
	r.wants(1, "U1 route 1077")
	if got := *asked.Load(); got != "/app?to=9000&from=1001&who=Ada+%26+Co&x=[NOBODY]" {
		t.Errorf("the document was asked for as %s", got)
	}
}

func TestInternalAddressesAreGuarded(t *testing.T) {
	r := newRig(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"to":"1004"}`) }))
	t.Cleanup(web.Close)
	script := `<datamodel><data id="r"/></datamodel><state id="a"><transition event="interaction.present" target="b"/></state>
	<state id="b"><onentry><session:fetch requestid="r" srcexpr="'` + web.URL + `'"/></onentry>
	<transition event="session.fetch.done" target="c"><ixn:redirect destination="_event.data.content.to"/></transition>
	<transition event="error.session.fetch" cond="_event.data.error === 'forbidden'" target="c"><ixn:redirect destination="'1005'"/></transition></state><state id="c"/>`
	r.script(script)
	guarded := r.node("a", func(c *Config) { c.FetchInternal = false })
	r.arrives("U1")
	r.wants(1, "U1 route 1005")
	guarded.stop()
	r.node("b", nil)
	r.arrives("U2")
	eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !strings.Contains(strings.Join(r.asked, ";"), "U2 route 1004") {
			return fmt.Errorf("asked for %q", r.asked)
		}
		return nil
	})
}

func TestPublishedScriptIsForNewCalls(t *testing.T) {
	r := newRig(t)
	first := `<state id="a"><transition event="interaction.udata.changed" target="b"/></state><state id="b"><onentry><ixn:redirect destination="'1'"/></onentry></state>`
	r.script(first)
	n := r.node("a", nil)
	r.arrives("U1")
	eventually(t, func() error {
		if n.Running() != 1 {
			return errNotYet
		}
		return nil
	})
	eventually(t, func() error { // the session has its script
		out, err := n.command(t.Context(), &contract.SessionCommandRequest{Tenant: "demo", ID: idOf(&voice.WorkItem{Tenant: "demo", Kind: "voice", ID: "U1", Seq: 2}), Do: contract.SessionQuery})
		if err == nil && len(out.Session.States) == 0 {
			err = errNotYet
		}
		return err
	})
	r.script(strings.Replace(first, "'1'", "'2'", 1))
	call := 1
	eventually(t, func() error { // the news is on its way
		call++
		id := fmt.Sprintf("U%d", call)
		r.arrives(id)
		r.says(id, voice.EventAttachedDataChanged, nil)
		r.wantsOf(id)
		r.mu.Lock()
		defer r.mu.Unlock()
		if last := r.asked[len(r.asked)-1]; last != id+" route 2" {
			return fmt.Errorf("asked for %s", last)
		}
		return nil
	})
	r.says("U1", voice.EventAttachedDataChanged, nil)
	eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if last := r.asked[len(r.asked)-1]; last != "U1 route 1" {
			return fmt.Errorf("asked for %s", last)
		}
		return nil
	})
}

// wantsOf waits until something was asked about a call.
func (r *rig) wantsOf(call string) {
	r.t.Helper()
	eventually(r.t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range r.asked {
			if strings.HasPrefix(a, call+" ") {
				return nil
			}
		}
		return fmt.Errorf("nothing was asked about %s", call)
	})
}
