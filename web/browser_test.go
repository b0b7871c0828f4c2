package web

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is a window of a real Chromium, with a profile of its own.
type browser struct {
	t   *testing.T
	h   *house
	ctx context.Context
}

// startChromium starts one Chromium, in which each test has a profile of its own, and stops it when t ends. There is no
// test of pages without a browser, so a machine without one fails.
func startChromium(t *testing.T) context.Context {
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
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("hide-scrollbars", true))
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

// newBrowser opens a window with a profile of its own to look at h.
func newBrowser(t *testing.T, chromium context.Context, h *house) *browser {
	t.Helper()
	ctx, stop := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	b := &browser{t: t, h: h, ctx: ctx}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		stop()
		listening.Wait()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	messages := chromedp.Console(ctx)
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return // the window is closed
			}
			complaint := m.IsException() || m.Type == "error" || m.Type == "warning" || m.Source == "security"
			// That a page was answered with 4xx is noted there too, and is what the test wanted.
			if complaint && !strings.HasPrefix(m.Text, "Failed to load resource") {
				t.Errorf("the browser's console says: %v", m)
			}
		}
	})
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
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // a picture shall not show half a change of colour
		},
	})
}

// command sends one command of the DevTools protocol.
func command[P, R any](cmd cdp.Command[P, R], params P) step {
	return func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, cmd, params)
		return chromedp.Void{}, err
	}
}

// press presses keys one after the other, e.g. kb.Tab.
func press(keys ...string) step { return chromedp.KeyEvent(strings.Join(keys, "")) }

// focused describes the element that has the focus.
func (b *browser) focused() string {
	b.t.Helper()
	return eval[string](b, `(() => { const e = document.activeElement; return (e.id || e.getAttribute("aria-label") || e.innerText || e.name || e.tagName).trim(); })()`)
}
