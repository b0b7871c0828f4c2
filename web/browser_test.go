package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is a real Chromium with a fresh profile.
type browser struct {
	t   *testing.T
	h   *house
	ctx context.Context
}

// newBrowser starts Chromium and stops it when the test ends. There is no test of pages without a browser, so a
// machine without one fails.
func newBrowser(t *testing.T, h *house) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("no chromium in PATH: the browser tests need one")
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("hide-scrollbars", true),
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stopTab := chromedp.NewContext(alloc)
	b := &browser{t: t, h: h, ctx: ctx}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		stopTab()
		stopAlloc()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // without a deadline: it would end the browser
		t.Fatalf("start the browser: %v", err)
	}
	return b
}

// do does what a person would do, one thing after the other.
func (b *browser) do(steps ...step) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, text := ask(b, chromedp.Location()), ask(b, chromedp.Evaluate[string](`document.body.innerText`))
		b.t.Fatalf("browser: %v\nat %s:\n%s", err, where, text)
	}
}

// step is one thing to do.
type step = chromedp.Action[chromedp.Void]

// ask asks the browser something.
func ask[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	return v
}

// eval runs an expression in the page.
func eval[T any](b *browser, js string) T {
	b.t.Helper()
	return ask(b, chromedp.Evaluate[T](js))
}

// wait polls an expression until it is true. It survives that the page changes meanwhile.
func (b *browser) wait(what, js string) {
	b.t.Helper()
	until(b.t, what, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		defer cancel()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js))
		return err == nil && ok
	})
}

// see waits until the first element that matches shows text.
func (b *browser) see(selector, text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("%s shows %q", selector, text), fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").includes(%q)`, selector, text))
}

// visible waits until the first element that matches can be seen.
func (b *browser) visible(selector string) {
	b.t.Helper()
	b.wait(selector+" is visible", fmt.Sprintf(`document.readyState === "complete" && !!document.querySelector(%q)?.checkVisibility()`, selector))
}

// at waits until the page of that path is there.
func (b *browser) at(path string) {
	b.t.Helper()
	b.wait("the page is "+path, fmt.Sprintf(`location.pathname === %q && document.readyState === "complete"`, path))
}

func (b *browser) open(path string) step { return chromedp.Navigate(b.h.url + path) }

func (b *browser) signIn(user string) {
	b.t.Helper()
	b.do(b.open("/signin"), chromedp.SendKeys("#user", user), chromedp.SendKeys("#password", testPassword), chromedp.Submit("#password"))
	b.see(".who-text", user)
}

// shoot keeps a picture of the whole page when $PARLEY_SCREENSHOTS names a folder.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("PARLEY_SCREENSHOTS")
	if dir == "" {
		return
	}
	const asPNG = 100
	if err := os.WriteFile(filepath.Join(dir, name+".png"), ask(b, chromedp.FullScreenshot(asPNG)), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// phone makes the viewport that of a small phone.
func phone() step { return chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile) }

func desktop() step { return chromedp.EmulateViewport(1280, 900) }

func prefer(scheme string) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	}
}

// TestTour walks through every page, on a desktop and on a phone, in light and dark, and checks on each that nothing
// is wider than the screen and that the console is silent.
func TestTour(t *testing.T) {
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:1001@198.51.100.20:5066;transport=udp", "Grandstream GXP2170 1.0.11.64")
	h.phones.register("demo", "1001", "sip:1001@198.51.100.31:40112;transport=tls", "LinphoneAndroid/5.2.5 (Pixel 8)")
	h.phones.register("demo", "1003", "sip:1003@198.51.100.40:5060", "baresip v3.9.0")
	h.phones.ban("203.0.113.9", "wrong passwords", 12)
	h.phones.ban("2001:db8::bad", "not SIP", 200)
	b := newBrowser(t, h)
	b.do(prefer("light"), desktop(), b.open("/"), chromedp.WaitVisible("#user"))
	b.shoot("signin-light")
	b.signIn("root")
	h.web.board.mu.Lock()
	h.web.board.scopes[everywhere].samples = nil
	for i := range 160 { // a morning: phones come, some restart
		at := time.Now().Add(time.Duration(i-160) * sampleEvery)
		h.web.board.scopes[everywhere].samples = append(h.web.board.scopes[everywhere].samples, sample{at, min(i/3, 40) - i%37/30*5})
	}
	h.web.board.mu.Unlock()
	for _, look := range []struct {
		name   string
		set    []step
		device string
	}{
		{"light", []step{prefer("light"), desktop()}, "desktop"},
		{"dark", []step{prefer("dark"), desktop()}, "desktop"},
		{"light", []step{prefer("light"), phone()}, "phone"},
		{"dark", []step{prefer("dark"), phone()}, "phone"},
	} {
		b.do(look.set...)
		for _, p := range []struct{ name, path, wait string }{
			{"overview", "/", "#h-services"}, {"extensions", "/t/demo/extensions", "tbody"}, {"extensions-none", "/t/demo/extensions?q=nobody", ".empty"},
			{"extension", "/t/demo/extensions/1001", ".contact"}, {"extension-new", "/t/demo/extensions/new", "#number"}, {"extension-edit", "/t/demo/extensions/1002/edit", "#name"},
			{"extension-delete", "/t/demo/extensions/1002/delete", ".danger"}, {"people", "/t/demo/people", "tbody"}, {"person", "/t/demo/people/alice/edit", "#email"},
			{"history", "/t/demo/history", "tbody"}, {"tenants", "/tenants", "tbody"}, {"tenant", "/tenants/acme/edit", "#domains"}, {"bans", "/bans", "tbody"},
			{"me", "/me", "#current"}, {"missing", "/t/demo/extensions/4711", ".empty"},
		} {
			b.do(b.open(p.path))
			b.visible(p.wait)
			if wide := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				t.Errorf("%s on a %s is %d pixels wider than the screen", p.name, look.device, wide)
			}
			b.shoot(strings.Join([]string{p.name, look.device, look.name}, "-"))
		}
	}
}
