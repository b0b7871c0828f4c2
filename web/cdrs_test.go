package web

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"parley/internal/store/cdrs"
	"parley/internal/voice"
	"parley/services/cdr"
)

// keepCalls starts services/cdr with some records.
func (h *house) keepCalls(records ...voice.CDR) {
	h.t.Helper()
	store, err := cdrs.Open(h.t.Context(), "", h.t.TempDir())
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := store.Insert(h.t.Context(), records); err != nil {
		h.t.Fatal(err)
	}
	svc, err := cdr.New(cdr.Options{Fabric: h.f, Store: store, Config: cdr.DefaultConfig()})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := svc.Run(ctx); err != nil {
			h.t.Errorf("cdr: %v", err)
		}
	})
	h.t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			h.t.Errorf("close the records: %v", err)
		}
	})
	v := h.signIn("root")
	until(h.t, "call records are served", func() bool { return v.get("/t/demo/cdrs").status == 200 })
}

// someCalls is one of each kind, and more than a page of others, the newest first.
func someCalls(now time.Time) []voice.CDR {
	at := now.Add(-time.Minute).UTC().Truncate(time.Millisecond)
	call := func(i int, caller, name, dialled string, outcome voice.Outcome, ring, answer, length time.Duration) voice.CDR {
		start := at.Add(-time.Duration(i) * 7 * time.Minute)
		c := voice.CDR{
			CallUUID: fmt.Sprintf("0198c5b0-7e1f-7000-8000-%012d", i), ThreadID: fmt.Sprintf("0198c5b0-7e1f-7000-9000-%012d", i), Tenant: "demo", Node: "n1",
			Type: voice.CallInternal, Caller: caller, CallerName: name, Dialled: dialled, Answered: dialled, Start: start, End: start.Add(length),
			Outcome: outcome, Status: 200, EndedBy: "caller", SIPCallID: fmt.Sprintf("a84b4c76e66710-%d@192.0.2.10", i), Events: 6,
		}
		if ring > 0 {
			c.Ringing = start.Add(ring)
		}
		if answer > 0 {
			c.Answer, c.Talk = start.Add(answer), length-answer
		}
		return c
	}
	out := []voice.CDR{
		call(0, "1001", "Alice Archer", "1002", voice.OutcomeAnswered, 180*time.Millisecond, 4*time.Second, 187*time.Second),
		call(1, "+493012345678", "Müller & Söhne GmbH", "9000", voice.OutcomeAnswered, 300*time.Millisecond, 9*time.Second, 3723*time.Second),
		call(2, "1003", "", "1004", voice.OutcomeNoAnswer, 200*time.Millisecond, 0, 30*time.Second),
		call(3, "1005", `<script>alert("x")</script>`, "1006", voice.OutcomeBusy, 0, 0, 120*time.Millisecond),
		call(4, "1001", "Alice Archer", "0004930987654", voice.OutcomeRejected, 0, 0, 8*time.Millisecond),
		call(5, "", "=cmd()", "1007", voice.OutcomeAbandoned, 250*time.Millisecond, 0, 12*time.Second),
		call(6, "1008", "", "004420794601", voice.OutcomeFailed, 0, 0, 32*time.Second),
	}
	out[1].Type, out[1].TrunkIn, out[1].Answered, out[1].EndedBy = voice.CallInbound, "gw1", "1009", "callee"
	out[0].CallerMedia, out[0].CalleeMedia = someVoice(0.4, 38, 4.36), someVoice(7.9, 52, 2.87)
	out[1].CalleeMedia = someVoice(0, 12, 4.41)
	out[2].Status, out[2].Reason, out[2].EndedBy = 480, "Nobody answered within 30 s.", "system"
	out[6].Type, out[6].TrunkOut, out[6].Status = voice.CallOutbound, "gw1", 503
	for i := len(out); i < pageSize+20; i++ {
		out = append(out, call(i, fmt.Sprint(1001+i%10), "", fmt.Sprint(1010-i%10), voice.OutcomeAnswered, time.Second, 3*time.Second, time.Duration(i)*time.Minute))
	}
	return out
}

func TestCallHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	calls := someCalls(time.Now())
	foreign := calls[0]
	foreign.CallUUID, foreign.Tenant = "foreign", "acme"
	h.keepCalls(append(calls, foreign)...)
	v := h.signIn("sven")
	rows := func(query string) int {
		a := v.get("/t/demo/cdrs?" + query)
		if a.status != 200 {
			t.Errorf("GET ?%s = %d", query, a.status)
		}
		return strings.Count(a.body, `<th scope="row"`)
	}
	// clock is a time as somebody types it whose clock is so many minutes behind UTC.
	clock := func(at time.Time, behind int) string {
		return at.Add(-time.Duration(behind) * time.Minute).Format("2006-01-02T15:04")
	}
	for query, want := range map[string]int{
		"": pageSize, "outcome=busy": 1, "q=müller": 1, "q=1009&outcome=answered&period=24h": 14, "period=1h": 9, "q=nobody": 0,
		"voice=poor": 1, "voice=fair&outcome=busy": 0, "voice=awful&outcome=busy": 1,
		"trunk=gw1": 2, "trunk=gw1&outcome=failed": 1, "trunk=gw": 0,
		"from=" + clock(calls[3].Start, 60) + "&until=" + clock(calls[1].Start, 60) + "&tz=60": 2, // the minute of the first belongs to it
		"from=yesterday&until=x&tz=y":                    pageSize,
		"outcome=anything&period=ever":                   pageSize, // what is no choice is no filter
		"q=" + url.QueryEscape(strings.Repeat("ä", 300)): 0,
	} {
		if got := rows(query); got != want {
			t.Errorf("?%s shows %d calls, want %d", query, got, want)
		}
	}
	first := v.get("/t/demo/cdrs?outcome=answered").body
	_, rest, _ := strings.Cut(first, `rel="next" href="`)
	next, _, found := strings.Cut(rest, `"`)
	if next = strings.ReplaceAll(next, "&amp;", "&"); !found || !strings.Contains(next, "outcome=answered") {
		t.Fatalf("the first page has no link to the next that keeps the filter: %q", next)
	}
	if got := strings.Count(v.get(next).body, `<th scope="row"`); got != 65-pageSize {
		t.Errorf("the second page has %d calls, want %d", got, 65-pageSize)
	}
	if a := v.get("/t/demo/cdrs?q=1001&after=x"); a.location != "/t/demo/cdrs?q=1001" {
		t.Errorf("a cursor nobody made = %d to %q, want the first page", a.status, a.location)
	}
	page := v.get("/t/demo/cdrs/" + calls[3].CallUUID)
	if page.status != 200 || strings.Contains(page.body, "<script>alert") || !strings.Contains(page.body, "setting up 0.1 s") {
		t.Errorf("the page of a call = %d\n%s", page.status, page.body)
	}
	for _, missing := range []string{"foreign", "nothing"} {
		if a := v.get("/t/demo/cdrs/" + missing); a.status != 404 {
			t.Errorf("the page of %s = %d, want 404", missing, a.status)
		}
	}
}

func TestCallHistoryAsCSV(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	h.keepCalls(someCalls(time.Now())...)
	for name, want := range map[string]int{"sven": 200, "alice": 403} {
		if a := h.signIn(name).get("/t/demo/cdrs.csv"); a.status != want {
			t.Errorf("the export as %s = %d, want %d", name, a.status, want)
		}
	}
	if a := h.visitor().get("/t/demo/cdrs.csv"); a.status != 303 {
		t.Errorf("the export without a session = %d, want 303", a.status)
	}
	a := h.signIn("sven").get("/t/demo/cdrs.csv?outcome=abandoned")
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil || len(rows) != 2 || !slices.Contains(rows[1], "'=cmd()") {
		t.Errorf("the export holds %v, %v, want the one abandoned call without a formula", rows, err)
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") || a.header.Get("Content-Disposition") != `attachment; filename="cdrs-demo.csv"` {
		t.Errorf("headers %v", a.header)
	}
}

func TestCallHistoryWithoutItsService(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setUp{})
	v := h.signIn("sven")
	for _, path := range []string{"/t/demo/cdrs", "/t/demo/cdrs.csv", "/t/demo/cdrs/x"} {
		if a := v.get(path); a.status != 503 || !strings.Contains(a.body, "Try again") {
			t.Errorf("GET %s without services/cdr = %d, want a page with 503", path, a.status)
		}
	}
}

func TestTimeline(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return at.Add(d) }
	for name, c := range map[string]struct {
		cdr   voice.CDR
		label string
	}{
		"answered":       {voice.CDR{Start: at, Ringing: after(time.Second), Answer: after(5 * time.Second), End: after(time.Hour)}, "Timeline: setting up 1.0 s, ringing 4.0 s, talking 59:55"},
		"no ringing":     {voice.CDR{Start: at, Answer: after(time.Second), End: after(2 * time.Second)}, "Timeline: setting up 1.0 s, talking 1.0 s"},
		"never answered": {voice.CDR{Start: at, Ringing: after(time.Second), End: after(3 * time.Second)}, "Timeline: setting up 1.0 s, ringing 2.0 s"},
		"at once":        {voice.CDR{Start: at, End: at}, "Timeline: setting up 0.0 s"},
		"no end":         {voice.CDR{Start: at}, "Timeline: "},
		"clock set back": {voice.CDR{Start: at, Ringing: after(-time.Minute), End: after(time.Second)}, "Timeline: setting up 0.0 s, ringing 1:01"},
	} {
		tl := timelineOf(&c.cdr)
		if tl.Label != c.label {
			t.Errorf("%s: %q, want %q", name, tl.Label, c.label)
		}
		x := 0.0
		for _, s := range tl.Spans {
			if s.X != x || s.Width < leastSpan {
				t.Errorf("%s: span %+v begins at %v, want %v", name, s, s.X, x)
			}
			x += s.Width
		}
		if len(tl.Spans) > 0 && (x < timelineWidth-0.01 || x > timelineWidth+0.01) {
			t.Errorf("%s: the bar is %v long, want %d", name, x, timelineWidth)
		}
	}
}

// browseCalls looks for a call as a supervisor does: by typing, by choosing, page by page, and with keys alone.
func browseCalls(t *testing.T, chromium context.Context) {
	h := newHouse(t, setUp{})
	calls := someCalls(time.Now())
	h.keepCalls(calls...)
	b := newBrowser(t, chromium, h)
	b.do(prefer("light"), desktop())
	b.signIn("sven")
	b.do(chromedp.Click(`nav a[href$="/cdrs"]`))
	b.at("/t/demo/cdrs")
	b.see(`nav a[aria-current="page"]`, "Call history")
	count := func(n int) string { return fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d`, n) }
	b.wait("a page is full", count(pageSize))
	b.do(chromedp.Click(`a[rel="next"]`))
	b.wait("the rest is on the next page", count(len(calls)-pageSize))
	b.do(chromedp.Click(`nav[aria-label="Pages"] a`))
	b.wait("the first page is back", count(pageSize))
	b.do(chromedp.SetValue("#outcome", "no-answer"), chromedp.Click(".toolbar button"))
	b.wait("one call is left", count(1))
	if got := eval[string](b, `document.querySelector('a[download]').getAttribute("href")`); got != "/t/demo/cdrs.csv?outcome=no-answer" {
		t.Errorf("the export goes to %q, want the same filter", got)
	}
	b.do(chromedp.SendKeys("#q", "nobody"+kb.Enter))
	b.see(".empty", "No call matches")
	b.do(chromedp.Click(".empty a"))
	b.wait("all calls are back", count(pageSize))
	b.do(chromedp.Click("details.across summary"), chromedp.SetValue("#until", "2020-01-01T00:00"), chromedp.Click(".toolbar button"))
	b.see(".empty", "No call matches")
	b.do(b.open("/t/demo/cdrs"))
	b.do(chromedp.SendKeys("#q", "archer"), press(kb.Tab, kb.Tab, kb.Tab, kb.Enter)) // past the two choices to the button
	b.wait("two calls of Alice's", count(2))
	b.do(chromedp.Focus("tbody a"), press(kb.Enter))
	b.at("/t/demo/cdrs/" + calls[0].CallUUID)
	b.see("h1", "1001 to 1002")
	b.see(".points", "Was answered")
	if got := eval[string](b, `document.querySelector("svg.timeline").getAttribute("aria-label")`); got != "Timeline: setting up 0.2 s, ringing 3.8 s, talking 3:03" {
		t.Errorf("the timeline says %q", got)
	}
	if got := eval[int](b, `[...document.querySelectorAll("svg.timeline rect")].filter(r => r.getBoundingClientRect().width > 20).length`); got != 3 {
		t.Errorf("%d parts of the timeline can be seen, want 3", got)
	}
}
