package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/e2e/peer"
	"parley/internal/contract"
	"parley/internal/voice"
)

// window is a page of the platform in a real Chromium.
type window struct {
	t   *testing.T
	ctx context.Context
	url string
}

// browse opens a window for the administrator of a basic platform.
func browse(t *testing.T, p *platform) *window {
	t.Helper()
	return browseAs(t, p, "basic-admin-secret")
}

// browseAs opens a window for an administrator with that password.
func browseAs(t *testing.T, p *platform, password string) *window {
	t.Helper()
	w := &window{t, chromium(t), "http://" + p.address("web", "http")}
	w.do(chromedp.Navigate(w.url+"/signin"), chromedp.SendKeys("#user", "admin"), chromedp.SendKeys("#password", password), chromedp.Submit("#password"))
	w.sees(".who-text", "admin")
	return w
}

// chromium starts a browser, which ends with the test.
func chromium(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	flags = append([]chromedp.ExecAllocatorOption{chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.Flag("disable-background-networking", true), chromedp.Flag("hide-scrollbars", true)}, flags...)
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		stop()
		stopAlloc()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // without a deadline: it would end the browser
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("browser: %v", err)
	}
}

func (w *window) open(path string) { w.t.Helper(); w.do(chromedp.Navigate(w.url + path)) }

// eval runs an expression in the page.
func eval[T any](w *window, js string) (v T) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		w.t.Fatalf("browser: %v", err)
	}
	return v
}

// text is what the first element that matches shows, "" when there is none.
func (w *window) text(selector string) string {
	w.t.Helper()
	return eval[string](w, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// sees waits until the first element that matches shows a text, and the page is there to its end: a busy browser shows the head of a
// page before it has read the rest.
func (w *window) sees(selector, want string) {
	w.t.Helper()
	peer.Poll(w.t, 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		defer cancel()
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`document.readyState === "complete" ? document.querySelector(%q)?.innerText ?? "" : ""`, selector)))
		if err != nil || !strings.Contains(got, want) {
			return fmt.Errorf("%s shows %q (%v), want %q", selector, got, err, want)
		}
		return nil
	})
}

// shoot keeps a picture of the page when $PARLEY_SCREENSHOTS names a folder.
func (w *window) shoot(name string) {
	w.t.Helper()
	dir := os.Getenv("PARLEY_SCREENSHOTS")
	if dir == "" {
		return
	}
	const asPNG = 100
	picture, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(asPNG))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// A call between two phones appears on the page of live calls, changes there and ends, while the page is never loaded again; its SIP
// messages are drawn while it lasts and after, without credentials, and are there over REST.
func TestPagesShowACall(t *testing.T) {
	t.Parallel() // it waits more than it works
	p, _ := basic(t, "pages")
	a, b := scripted(t, p, "1001"), scripted(t, p, "1002")
	w := browse(t, p)
	w.open("/t/demo/calls")
	w.sees("[data-live-state]", "Live")
	w.sees("[data-calls-empty]", "Nobody is calling")
	eval[bool](w, `window.stayed = true`)

	out := a.Call("1002", sdpOf(1))
	in := b.AwaitCall()
	w.sees("[data-call] .who-calls", "1001")
	in.Reply(in.Invite, 180, "")
	w.sees("[data-call] .call-state", "Ringing")
	in.Reply(in.Invite, 200, sdpOf(1), "Allow: INVITE, ACK, BYE, UPDATE")
	out.Ack(out.Await(200), "")
	in.Request("ACK")
	w.sees("[data-call] .call-state", "Talking")
	w.sees("[data-call] .who-called", "1002")
	out.Send("INVITE", sdpOf(2, "sendonly"))
	hold := in.Request("INVITE")
	in.Reply(hold, 200, sdpOf(2, "recvonly"))
	out.Ack(out.Final("INVITE"), "")
	in.Request("ACK")
	w.sees("[data-call] .call-state", "On hold")
	w.shoot("e2e-live")
	hungUp(in, out)
	w.sees("[data-calls-empty]", "Nobody is calling")
	w.sees(`[data-count="calls"]`, "0")
	if !eval[bool](w, `window.stayed === true && document.querySelector("[data-call]") === null`) {
		t.Error("the page was loaded again, or still shows the call")
	}

	record := recorded(t, p, "1001", voice.OutcomeAnswered)
	w.open("/t/demo/cdrs")
	w.do(chromedp.Click(`tbody a[href$="/calls/` + record.CallUUID + `"]`))
	w.sees("h1", "1001 to 1002")
	w.sees(".ladder-body", "Released")
	w.shoot("e2e-ladder")
	checkLadder(t, w)

	var trace struct {
		Messages []contract.TraceMessage `json:"messages"`
	}
	path := "/api/v1/tenants/demo/calls/" + record.CallUUID + "/sip"
	if err := json.Unmarshal([]byte(rest(t, p, "sipproxy", http.MethodGet, path, http.StatusOK)), &trace); err != nil {
		t.Fatal(err)
	}
	if n := eval[int](w, `document.querySelectorAll(".arrow").length`); n != len(trace.Messages) {
		t.Errorf("%d arrows, and %d messages over REST", n, len(trace.Messages))
	}
	if text := rest(t, p, "sipproxy", http.MethodGet, path+".txt", http.StatusOK); !strings.Contains(text, "\nBYE sip:") || !strings.Contains(text, "response=***") {
		t.Errorf("the messages as text:\n%s", text)
	}
	w.open("/t/demo/trunks")
	w.sees(".trunks tbody", "Not watched") // nothing asks the carrier, see basic
	w.open("/t/demo/dialplan?number=01234&from=1001")
	w.sees(".try-answer", "gw1 as 01234")
}

// The page of a call in progress grows with the call, and says how it ended, while it is never loaded again.
func TestPagesDrawACallInProgress(t *testing.T) {
	t.Parallel() // it waits more than it works
	p, _ := basic(t, "growing")
	a, b := scripted(t, p, "1003"), scripted(t, p, "1004")
	w := browse(t, p)
	w.open("/t/demo/calls")
	w.sees("[data-live-state]", "Live")
	out := a.Call("1004", sdpOf(1))
	in := b.AwaitCall()
	w.sees("[data-call] .who-calls", "1003")
	w.do(chromedp.Click("[data-call] a.key"))
	w.sees(".head", "In progress")
	w.sees("[data-live-state]", "Live")
	eval[bool](w, `window.stayed = true`)
	w.do(chromedp.Click(".rung:first-of-type summary"))
	w.sees(".rung:first-of-type pre", "INVITE sip:1004@demo.local")
	in.Reply(in.Invite, 180, "")
	w.sees(".ladder-body", "180 Scripted")
	in.Reply(in.Invite, 200, sdpOf(1))
	out.Ack(out.Await(200), "")
	in.Request("ACK")
	w.sees(".ladder-body", "Established")
	hungUp(out, in)
	w.sees(".head", "Answered")
	w.sees(".ladder-body", "BYE")
	if !eval[bool](w, `window.stayed === true && document.querySelector(".rung").open && document.querySelector(".head .danger") === null`) {
		t.Error("the page was loaded again, the line that was open is closed, or a call that is over is offered to be hung up")
	}
}

// checkLadder looks whether the call of TestPagesShowACall is all there, in order.
func checkLadder(t *testing.T, w *window) {
	t.Helper()
	labels := eval[[]string](w, `[...document.querySelectorAll(".rung summary")].map(e => (e.querySelector(".arrow strong") ?? e.querySelector(".event strong")).textContent)`)
	got := strings.Join(labels, "|")
	rest := got
	for _, want := range []string{"INVITE", "407 Proxy Authentication Required", "ACK", "INVITE", "Dialing", "180", "Ringing", "200", "Established", "Held", "BYE", "Released"} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the ladder has no %q where it should be: %s", want, got)
		}
		rest = after
	}
	if lanes := eval[int](w, `document.querySelectorAll(".ladder-head li").length`); lanes != 3 {
		t.Errorf("%d lanes, want the caller, the node and the phone that was called: %s", lanes, w.text(".ladder-head"))
	}
	source := eval[string](w, `document.documentElement.outerHTML`)
	if !strings.Contains(source, "response=***") || strings.Contains(source, `response="`) {
		t.Error("the page shows what credentials are made of, or no credentials at all")
	}
	if sdp := eval[int](w, `[...document.querySelectorAll(".arrow .tag")].filter(e => e.textContent === "SDP sendonly").length`); sdp != 2 {
		t.Errorf("%d messages put somebody on hold, want one from the caller and one to the phone", sdp)
	}
}

// The messages of a call whose phones are at different nodes are gathered from both front doors, whichever is asked, and the page of the
// call has a lane for each node.
func TestPagesShowACallOfTwoNodes(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "")
	k := connect(t, agent(t, a, "1001", "udp"), agent(t, b, "1002", "tcp"))
	if err := k.out.Bye(); err != nil {
		t.Fatal(err)
	}
	k.over()
	record := records(t, a, 1)[0]
	path := "/api/v1/tenants/demo/calls/" + record.CallUUID + "/sip"
	var counts []int
	for _, p := range []*platform{a, b} {
		var trace struct {
			Messages []contract.TraceMessage `json:"messages"`
			Silent   []string                `json:"silent"`
		}
		body := rest(t, a, "sipproxy", http.MethodGet, path, http.StatusOK)
		if p == b { // it has no accounts of its own; the token of the other is good there
			body = restOf(t, a, b.address("sipproxy", "http"), path)
		}
		if err := json.Unmarshal([]byte(body), &trace); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i, m := range trace.Messages {
			seen[m.Node+" "+m.Transport] = true
			if i > 0 && m.Time.Before(trace.Messages[i-1].Time) {
				t.Errorf("message %d is before the one above it", i)
			}
		}
		if !seen["a udp"] || !seen["b tcp"] || len(trace.Silent) > 0 {
			t.Errorf("messages of %v, silent %v: want the caller's at a and the callee's at b", seen, trace.Silent)
		}
		counts = append(counts, len(trace.Messages))
	}
	if counts[0] != counts[1] {
		t.Errorf("one node tells of %d messages, the other of %d", counts[0], counts[1])
	}
	w := browseAs(t, a, "cluster-admin-secret")
	w.open("/t/demo/calls/" + record.CallUUID)
	w.sees(".ladder-head", "1002")
	if head := w.text(".ladder-head"); eval[int](w, `document.querySelectorAll(".ladder-head .node").length`) != 2 {
		t.Errorf("lanes: %s, want one for each node", head)
	}
	w.shoot("e2e-ladder-two-nodes")
}

// restOf asks another node's service, with a token of p.
func restOf(t *testing.T, p *platform, address, path string) string {
	t.Helper()
	token, code := p.cli("token", "--user", "admin")
	if code != 0 {
		t.Fatalf("token: %s", token)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Fields(token)[0])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v: %s", path, res.Status, err, body)
	}
	return string(body)
}
