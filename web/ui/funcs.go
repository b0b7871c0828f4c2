package ui

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
)

func (r *Renderer) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":     r.assetURL,
		"icon":      icon,
		"path":      url.PathEscape,
		"count":     count,
		"thousands": func(n int64) string { return count(int(n)) },
		"regClass":  registrationClass,
		"moment":    moment,
		"clock":     clock,
		"upper":     strings.ToUpper,
		"navItem":   newNavItem,
	}
}

func (r *Renderer) assetURL(name string) (string, error) {
	u, ok := r.urls[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return u, nil
}

// count writes a number with thousands apart; a negative one, which is not known, is a dash.
func count(n int) string {
	if n < 0 {
		return "–"
	}
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// registrationClass is the colour of how registering at a provider goes.
func registrationClass(state string) string {
	switch state {
	case "registered":
		return "good"
	case "failed":
		return "bad"
	}
	return "warn"
}

// moment writes a point in time in UTC; the script turns it into local time.
func moment(t time.Time) template.HTML { return timeTag(t, "2 Jan 15:04 UTC", "moment") }

// clock is moment with seconds and without the day.
func clock(t time.Time) template.HTML { return timeTag(t, "15:04:05 UTC", "clock") }

func timeTag(t time.Time, layout, as string) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	// Formatted times hold nothing that HTML minds.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-as="%s" title="%s">%s</time>`,
		t.Format(time.RFC3339), as, t.Format("2006-01-02 15:04:05 UTC"), t.Format(layout)))
}

// navItem is one entry of the navigation.
type navItem struct {
	Href, Icon, Text string
	Here             bool
}

func newNavItem(p *Page, nav, href, icon, text string) navItem {
	return navItem{Href: href, Icon: icon, Text: text, Here: p.Nav == nav}
}

// icons are drawn on a square of 24 with a stroke, which the style sheet gives.
var icons = map[string]string{
	"menu":     `<path d="M4 7h16M4 12h16M4 17h16"/>`,
	"overview": `<path d="M3 13h4l2.5-7 4.5 13 3-8 1.5 2H21"/>`,
	"phone":    `<path d="M6.5 3.5h3l1.5 4.5-2.2 1.6a12 12 0 0 0 5.6 5.6L16 13l4.5 1.5v3a2.5 2.5 0 0 1-2.7 2.5A16.5 16.5 0 0 1 4 6.2a2.5 2.5 0 0 1 2.5-2.7z"/>`,
	"calls":    `<path d="M5.5 10.5h2.4l1.2 3.4-1.7 1.3a9.4 9.4 0 0 0 4.4 4.4l1.3-1.7 3.4 1.2v2.4a2 2 0 0 1-2.1 2A13 13 0 0 1 3.5 12.6a2 2 0 0 1 2-2.1zM13 4h8M13 8.5h8M16.5 13H21"/>`,
	"live":     `<path d="M4 12h3l2-5 3.5 10L15 12h5"/><circle cx="20" cy="12" r="1.2" fill="currentColor"/>`,
	"flow":     `<rect x="8" y="3" width="8" height="5" rx="1.6"/><rect x="2.5" y="16" width="8" height="5" rx="1.6"/><rect x="13.5" y="16" width="8" height="5" rx="1.6"/><path d="M12 8v4M6.5 16v-2.4a1.6 1.6 0 0 1 1.6-1.6h7.8a1.6 1.6 0 0 1 1.6 1.6V16"/>`,
	"trunk":    `<path d="M3 8.5h11M10.5 5l3.5 3.5L10.5 12M21 15.5H10M13.5 12L10 15.5l3.5 3.5"/>`,
	"plan":     `<circle cx="5" cy="12" r="2"/><circle cx="19" cy="6" r="2"/><circle cx="19" cy="18" r="2"/><path d="M7 12h3c4 0 3-6 7-6M10 12c4 0 3 6 7 6"/>`,
	"ladder":   `<path d="M6 3.5v17M18 3.5v17M6 8h12M15.5 5.5L18 8l-2.5 2.5M18 16H6M8.5 13.5L6 16l2.5 2.5"/>`,
	"refresh":  `<path d="M19.5 12a7.5 7.5 0 1 1-2.2-5.3M19.5 4v4h-4"/>`,
	"down":     `<path d="M4.3 12.6c4.7-4.4 10.7-4.4 15.4 0 .6.5.6 1.4.1 2l-1.4 1.5c-.4.5-1.1.5-1.6.2l-2.4-1.4a1.3 1.3 0 0 1-.6-1.1v-1.5a9 9 0 0 0-3.6 0v1.5c0 .5-.2.9-.6 1.1l-2.4 1.4c-.5.3-1.2.3-1.6-.2l-1.4-1.5c-.5-.6-.5-1.5.1-2z"/>`,
	"download": `<path d="M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 19.5h14"/>`,
	"people":   `<circle cx="9" cy="8" r="3.2"/><path d="M3 19.5c.4-3.6 2.7-5.5 6-5.5s5.6 1.9 6 5.5M15.5 5.3a3 3 0 0 1 0 5.5M18 14.6c1.8.8 2.8 2.5 3 4.9"/>`,
	"person":   `<circle cx="12" cy="8" r="3.6"/><path d="M5 20c.5-4 3.2-6 7-6s6.5 2 7 6"/>`,
	"history":  `<path d="M4 12a8 8 0 1 1 2.5 5.8M4 12V7.5M4 12h4.5M12 8v4.5l3 2"/>`,
	"tenants":  `<path d="M4 20V6l7-2.5V20M11 9l9 2.5V20M3 20h18M7.5 9v.01M7.5 13v.01M15.5 14.5v.01"/>`,
	"ban":      `<path d="M12 3.5l7 2.5v5.5c0 4.2-2.8 7.3-7 9-4.2-1.7-7-4.8-7-9V6zM9 9.5l6 5.5M15 9.5L9 15"/>`,
	"out":      `<path d="M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M15 8l4 4-4 4M19 12H9"/>`,
	"theme":    `<circle cx="12" cy="12" r="8"/><path d="M12 4v16a8 8 0 0 0 0-16z" fill="currentColor"/>`,
	"check":    `<path d="M5 12.5l4.5 4.5L19 7.5"/>`,
	"alert":    `<path d="M12 4l9 16H3zM12 10v4.5M12 17.3v.01"/>`,
	"plus":     `<path d="M12 5v14M5 12h14"/>`,
	"search":   `<circle cx="10.5" cy="10.5" r="6"/><path d="M15 15l5 5"/>`,
	"edit":     `<path d="M4 20l1-4L16 5l3 3L8 19z"/>`,
	"key":      `<circle cx="8" cy="15" r="4"/><path d="M11 12l8-8M16 7l2.5 2.5"/>`,
	"copy":     `<rect x="8" y="8" width="12" height="12" rx="2"/><path d="M16 8V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2h2"/>`,
	"chart":    `<path d="M4 4v16h16M7 15l4-5 3 3 5-7"/>`,
	"lock":     `<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>`,
	"lost":     `<circle cx="12" cy="12" r="8.5"/><path d="M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 16.5v.01"/>`,
}

// icon draws one of icons; it says nothing to a screen reader, the text beside it does.
func icon(name string) (template.HTML, error) {
	body, ok := icons[name]
	if !ok {
		return "", fmt.Errorf("no icon %q", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">` + body + `</svg>`), nil
}
