package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"parley/internal/passwd"
	"parley/internal/voice"
	"parley/services/tenant"
)

// TestBrowser uses the pages as people do.
func TestBrowser(t *testing.T) {
	chromium := startChromium(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"tour": browseTour, "sign in": browseSignIn, "extension": browseExtension, "live updates": browseLiveUpdates, "dark mode": browseDarkMode,
		"calls": browseCalls, "ladder": browseLadder, "live calls": browseLiveCalls, "sessions": browseSessions, "voice": browseVoice, "trunks": browseTrunks, "dial plan": browseDialPlan, "keyboard": browseKeyboard, "without script": browseWithoutScript, "many events": browseManyEventsKeepThePageAlive,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, chromium)
		})
	}
}

// browseTour walks through every page, on a desktop and on a phone, in light and dark. No page may be wider than the
// screen, and the console must be silent (see newBrowser).
func browseTour(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	h.phones.register("demo", "1001", "sip:1001@198.51.100.20:5066;transport=udp", "Grandstream GXP2170 1.0.11.64")
	h.phones.register("demo", "1001", "sip:1001@198.51.100.31:40112;transport=tls", "LinphoneAndroid/5.2.5 (Pixel 8)")
	h.phones.register("demo", "1003", "sip:1003@198.51.100.40:5060", "baresip v3.9.0")
	h.phones.ban("203.0.113.9", "wrong passwords", 12)
	h.phones.ban("2001:db8:1234:5678:9abc:def0:1234:5678", "not SIP", 200)
	change(h.config, "demo", voice.KindDN, "1001", func(d *voice.DN) {
		d.Name, d.Options["App"] = "Alice Archer-Long", map[string]string{"colour": "green"}
	})
	h.web.board.mu.Lock()
	h.web.board.scopeLocked(everywhere).samples = morning(time.Now())
	h.web.board.mu.Unlock()
	calls := someCalls(time.Now())
	begun := time.Now().Add(-time.Hour)
	h.keepCalls(append(calls, tracedRecord(begun))...)
	h.publishEvents(someEvents(h.f.Node(), begun)...)
	h.publishVoice(heardEvents(calls[0].CallUUID, h.f.Node(), calls[0].Start, 18)...)
	h.keepTrace(aCall(h.f.Node(), begun)...)
	h.sipNode().some()
	h.somePlan()
	h.resolveNumbers()
	b := newBrowser(t, chromium, h)
	b.do(desktop())
	b.signIn("root")
	for _, p := range []struct{ name, path, wait string }{
		{"overview", "/", "#h-services"}, {"extensions", "/t/demo/extensions", "tbody"}, {"extensions-none", "/t/demo/extensions?q=nobody", ".empty"},
		{"extension", "/t/demo/extensions/1001", ".contact"}, {"extension-new", "/t/demo/extensions/new", "#number"}, {"extension-edit", "/t/demo/extensions/1002/edit", "#name"},
		{"extension-delete", "/t/demo/extensions/1002/delete", ".danger"}, {"people", "/t/demo/people", "tbody"}, {"person", "/t/demo/people/alice/edit", "#email"},
		{"calls", "/t/demo/cdrs", "tbody"}, {"calls-none", "/t/demo/cdrs?q=nobody", ".empty"}, {"call", "/t/demo/cdrs/" + calls[1].CallUUID, ".timeline"}, {"call-voice", "/t/demo/cdrs/" + calls[0].CallUUID, ".voice-chart"},
		{"call-unanswered", "/t/demo/cdrs/" + calls[2].CallUUID, ".timeline"}, {"trunks", "/t/demo/trunks", "tbody"}, {"trunks-none", "/t/acme/trunks", ".empty"},
		{"trunk", "/t/demo/trunks/gw1", ".trunk-node"}, {"trunk-edit", "/t/demo/trunks/gw1/edit", "#contact"}, {"dialplan", "/t/demo/dialplan?number=0301234&from=1001", ".try-answer"}, {"dialplan-none", "/t/acme/dialplan", ".empty"},
		{"partition", "/t/demo/dialplan/partitions/night", "[data-row]"}, {"profile", "/t/demo/dialplan/profiles/lobby", "[data-row]"}, {"forwarding", "/t/demo/extensions/1001/forwarding", "#forward-always"}, {"live-calls", "/t/demo/calls", "tbody"}, {"hang-up", "/t/demo/calls/c1/hangup", ".danger"}, {"ladder", "/t/demo/calls/" + tracedCall, ".ladder"}, {"history", "/t/demo/history", "tbody"}, {"tenants", "/tenants", "tbody"}, {"tenant", "/tenants/acme/edit", "#domains"}, {"bans", "/bans", "tbody"},
		{"me", "/me", "#current"}, {"missing", "/t/demo/extensions/4711", ".empty"},
	} {
		b.do(b.open(p.path))
		b.visible(p.wait)
		for device, screen := range map[string]step{"desktop": desktop(), "phone": phone()} {
			b.do(screen)
			b.visible(p.wait)
			if wide := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				t.Errorf("%s on a %s is %d pixels wider than the screen", p.name, device, wide)
			}
			if nameless := eval[string](b, namelessFields); nameless != "" {
				t.Errorf("%s has fields and buttons that a screen reader has no name for: %s", p.name, nameless)
			}
			for _, scheme := range []string{"light", "dark"} {
				b.do(prefer(scheme))
				if pale := eval[string](b, paleTexts); pale != "" {
					t.Errorf("%s in %s on a %s has texts that are hard to read: %s", p.name, scheme, device, pale)
				}
				b.shoot(strings.Join([]string{p.name, device, scheme}, "-"))
			}
		}
	}
}

// namelessFields lists what can be used on a page and has no name: no label, no aria-label and no text.
const namelessFields = `[...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], summary")]
	.filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true]") && !(e.labels?.length || e.getAttribute("aria-label") || e.innerText?.trim()))
	.map(e => e.outerHTML.slice(0, 120)).join("\n")`

// paleTexts lists texts whose contrast with what is behind them is below what WCAG 2.2 asks for (1.4.3, level AA).
const paleTexts = `(() => {
	const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => { // as the browser paints it, whatever way it is written
		canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
	const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + under[i] * (1 - top[3] / 255));
	const behind = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 0) { layers.push(c); if (c[3] === 255) break; } }
		return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
	};
	const seen = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest(".visually-hidden, .skip, option, svg, .side, .badge.off[hidden]")) continue;
		const style = getComputedStyle(e), under = behind(e), text = over(rgba(style.color), under);
		const [a, b] = [light(text), light(under)].sort((x, y) => y - x);
		const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < (large ? 3 : 4.5)) seen.add(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + walker.currentNode.data.trim().slice(0, 30));
	}
	return [...seen].join("\n");
})()`

// morning is a chart in which phones come, and some restart.
func morning(now time.Time) []sample {
	var out []sample
	for i := range 160 {
		out = append(out, sample{now.Add(time.Duration(i-160) * sampleEvery), max(0, min(i/3, 40)-i%37/30*5)})
	}
	return out
}

func browseSignIn(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{tenant: func(c *tenant.Config) { c.Lockout.NameFailures = 3 }})
	b := newBrowser(t, chromium, h)
	try := func(user, password string) {
		b.do(b.open("/signin"), chromedp.SendKeys("#user", user), chromedp.SendKeys("#password", password), chromedp.Click("button.primary"))
	}
	b.do(prefer("light"), desktop(), b.open("/bans"))
	b.at("/signin")
	b.shoot("signin-desktop-light")
	b.do(chromedp.SendKeys("#user", "root"), chromedp.SendKeys("#password", "wrong"), chromedp.Click("button.primary"))
	b.see("[role=alert]", "The name or the password is wrong.")
	if got := ask(b, chromedp.Value("#user")) + "/" + ask(b, chromedp.Value("#password")); got != "root/" {
		t.Errorf("after the refusal the form holds %q, want the name and no password", got)
	}
	b.shoot("signin-wrong")
	b.do(chromedp.SendKeys("#password", testPassword), chromedp.Click("button.primary"))
	b.at("/bans") // where it was meant to go
	b.do(chromedp.Click(`form[action="/signout"] button`))
	b.at("/signin")
	b.do(b.open("/bans"))
	b.at("/signin")
	for range 3 {
		try("sven", "wrong")
		b.see("[role=alert]", "wrong")
	}
	try("sven", testPassword)
	b.see("[role=alert]", "wait a few minutes")
	b.do(phone(), prefer("dark"))
	b.shoot("signin-locked-phone-dark")
}

func browseExtension(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{config: func(c *Config) { c.PublicURL = "http://voice.example.com:8080" }})
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("anna.admin")
	b.do(chromedp.Click(`nav a[href$="/extensions"]`))
	b.at("/t/demo/extensions")
	b.do(chromedp.Click(`a.primary`))
	b.at("/t/demo/extensions/new")
	b.do(chromedp.SendKeys("#number", "1001"), chromedp.Click("button.primary"))
	b.see(".field-error", "Exists already")
	b.shoot("extension-new-refused")
	b.do(chromedp.SetValue("#number", "1042"), chromedp.SendKeys("#name", "Reception"), chromedp.Click("button.primary"))
	b.see("h1", "SIP account of 1042")
	b.visible("#qr svg")
	text := ask(b, chromedp.Text("#account-text"))
	m := passwordLine.FindStringSubmatch(text)
	dn, made := get[voice.DN](h.config, "demo", voice.KindDN, "1042")
	if m == nil || !made || !passwd.VerifySIP(*dn.Auth, m[1]) {
		t.Errorf("the account that is shown does not work:\n%s", text)
	}
	b.shoot("account-desktop-light")
	b.do(chromedp.Click("[data-copy]"))
	b.see("[data-copy] span", "Copied")
	b.do(phone(), prefer("dark"))
	b.shoot("account-phone-dark")
	b.do(prefer("light"), desktop(), chromedp.Click(".head .btn"))
	b.at("/t/demo/extensions/1042")
	b.see(".empty", "No phone is registered")
	b.do(chromedp.Click(`a[href$="/edit"]`))
	b.at("/t/demo/extensions/1042/edit")
	b.do(chromedp.SetValue("#name", "Front desk"), chromedp.Click("button.primary"))
	b.see("[role=status]", "saved")
	b.see("h1", "Front desk")
	b.do(b.open("/t/demo/extensions"), chromedp.SendKeys("#q", "front"+kb.Enter))
	b.wait("one row is found", `document.querySelectorAll("tbody tr").length === 1 && document.querySelector("tbody").innerText.includes("1042")`)
	b.do(b.open("/t/demo/extensions/1042/delete"), chromedp.Click("button.danger"))
	b.at("/t/demo/extensions")
	b.see("[role=status]", "Deleted")
	b.do(b.open("/t/demo/extensions/1001/delete"), chromedp.Click("button.danger"))
	b.see("[role=alert]", "desk-1") // its place still needs it
	b.shoot("extension-still-used")
	b.do(b.open("/t/demo/history"))
	b.see("tbody", "anna.admin")
}

func browseLiveUpdates(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	b := newBrowser(t, chromium, h)
	b.do(desktop())
	b.signIn("root")
	stay := func() { eval[bool](b, `window.stayed = true`) }
	stayed := func(where string) {
		t.Helper()
		if !eval[bool](b, `window.stayed === true`) {
			t.Errorf("%s was loaded again", where)
		}
	}
	b.see("[data-live-state]", "Live")
	stay()
	h.phones.register("demo", "1007", "sip:1007@198.51.100.77:5060", "Desk phone/7")
	b.see(`[data-count="registered"]`, "1")
	b.see(".events", "1007")
	stayed("the overview")

	b.do(b.open("/t/demo/extensions"))
	b.see(`[data-dn="1007"]`, "Registered")
	b.see("[data-live-state]", "Live")
	stay()
	h.phones.register("demo", "1008", "sip:1008@198.51.100.78:5060", "Desk phone/8")
	b.see(`[data-dn="1008"]`, "Desk phone/8")
	if err := h.phones.unregister("demo", "1007", "", "unregistered"); err != nil {
		t.Fatal(err)
	}
	b.see(`[data-dn="1007"]`, "Not registered")
	stayed("the list")

	b.do(b.open("/t/demo/extensions/1009"))
	b.see(".empty", "No phone is registered")
	b.see("[data-live-state]", "Live")
	stay()
	h.phones.register("demo", "1009", "sip:1009@198.51.100.79:5060;transport=tls", "Desk phone/9")
	b.see(".contact", "Desk phone/9")
	b.see(`[data-live="state"]`, "Registered")
	stayed("the extension")
	b.do(chromedp.Click(".contact .danger")) // the button came with the update, with a good token
	b.see("[role=status]", "The contact was removed")
	b.see(".empty", "No phone is registered")

	other := h.signIn("root") // signing out elsewhere must not end this session
	other.post("/", "/signout")
	h.phones.register("demo", "1009", "sip:1009@198.51.100.79:5060;transport=tls", "Desk phone/9")
	b.see(".contact", "Desk phone/9")
}

func browseDarkMode(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	b := newBrowser(t, chromium, h)
	dark := func() bool {
		return eval[bool](b, `(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number); return r + g + b < 200; })()`)
	}
	b.do(desktop(), prefer("dark"))
	b.signIn("root")
	if !dark() {
		t.Error("light, though the system prefers dark")
	}
	b.do(prefer("light"))
	if dark() {
		t.Error("dark, though the system prefers light")
	}
	b.do(chromedp.Click("[data-theme-form] button"))
	b.wait("the page is dark", `document.documentElement.dataset.theme === "dark"`)
	if !dark() {
		t.Error("light after choosing dark")
	}
	b.wait("the choice is kept", `document.querySelector("[data-theme-label]").textContent === "Light"`)
	until(t, "the next page comes in dark", func() bool { b.do(b.open("/me")); return dark() })
	b.do(chromedp.Click("[data-theme-form] button"))
	b.wait("the page is light", `document.documentElement.dataset.theme === "light"`)
}

// browseKeyboard signs in, creates an extension and signs out without a mouse.
func browseKeyboard(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	b := newBrowser(t, chromium, h)
	b.do(desktop(), b.open("/signin"))
	if got := b.focused(); got != "user" {
		t.Errorf("the focus starts on %q, want the name", got)
	}
	b.do(press("root", kb.Tab, testPassword, kb.Enter))
	b.at("/")
	b.do(press(kb.Tab))
	if got := b.focused(); got != "Skip to content" {
		t.Errorf("the first tab stop is %q, want the way past the navigation", got)
	}
	var stops []string
	for range 16 { // through the navigation
		b.do(press(kb.Tab))
		at := b.focused()
		stops = append(stops, at)
		outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth`)
		if !strings.HasPrefix(outline, "solid") && !strings.HasPrefix(outline, "auto") || strings.HasSuffix(outline, " 0px") {
			t.Errorf("nothing shows that %q has the focus (outline %s)", at, outline)
		}
	}
	for _, want := range []string{"Overview", "switch-tenant", "Live calls", "Extensions", "Trunks", "Dial plan", "People", "Call history", "Change history", "Tenants", "Bans", "Sign out"} {
		if !slices.Contains(stops, want) {
			t.Errorf("the tab stops %q lack %q", stops, want)
		}
	}
	b.do(b.open("/t/demo/extensions/new"))
	b.visible("#number")
	b.do(press("1077", kb.Tab, "By keys", kb.Enter))
	b.see("h1", "SIP account of 1077")
	b.do(b.open("/"), press(kb.Tab, kb.Enter)) // skip
	b.wait("the focus is in the content", `document.activeElement.id === "content"`)
	b.do(phone(), b.open("/"), press(kb.Tab, kb.Tab, kb.Tab))
	if got := b.focused(); got != "Menu" {
		t.Errorf("on a phone the third tab stop is %q, want the menu", got)
	}
	b.do(press(kb.Enter))
	b.visible("#menu nav")
	b.shoot("menu-phone")
	b.do(press(kb.Escape))
	b.wait("the menu is closed", `!document.querySelector("#menu nav").checkVisibility()`)
	b.do(press(kb.Enter))
	b.visible("#menu nav")
	b.do(chromedp.Click(`#menu a[href="/bans"]`))
	b.at("/bans")
}

// browseWithoutScript does the essential things with JavaScript switched off.
func browseWithoutScript(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	b := newBrowser(t, chromium, h)
	b.do(desktop(), command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.do(b.open("/signin"), chromedp.SendKeys("#user", "root"), chromedp.SendKeys("#password", testPassword), chromedp.Click("button.primary"))
	b.see(".live", "Live updates need JavaScript")
	b.do(b.open("/t/demo/extensions/new"), chromedp.SendKeys("#number", "1055"), chromedp.Click("button.primary"))
	b.see("h1", "SIP account of 1055")
	b.visible("#qr svg")
	b.do(b.open("/switch?tenant=acme"))
	b.at("/t/acme/extensions")
	b.visible("form.switch button") // which the script would hide
	b.do(chromedp.Click("[data-theme-form] button"))
	b.wait("the page came back in dark", `document.documentElement.dataset.theme === "dark" && location.pathname === "/t/acme/extensions"`)
	b.do(chromedp.Click(`form[action="/signout"] button`))
	b.at("/signin")
}

// browseManyEventsKeepThePageAlive floods the platform with registrations while somebody looks.
func browseManyEventsKeepThePageAlive(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	b := newBrowser(t, chromium, h)
	b.do(desktop())
	b.signIn("root")
	b.see("[data-live-state]", "Live")
	for i := range 3000 {
		h.phones.register("demo", fmt.Sprint(20000+i), "sip:x@198.51.100.1", "Storm")
	}
	if err := h.f.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.see(`[data-count="registered"]`, "3,000")
	b.see("[data-live-state]", "Live")
}
