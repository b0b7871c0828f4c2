package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// outcomeNames are the outcomes of a call in words; Class is the colour of the badge.
var outcomeNames = []outcomeName{
	{voice.OutcomeAnswered, "Answered", "good"},
	{voice.OutcomeAbandoned, "Abandoned", "warn"},
	{voice.OutcomeNoAnswer, "No answer", "warn"},
	{voice.OutcomeBusy, "Busy", "warn"},
	{voice.OutcomeRejected, "Rejected", "bad"},
	{voice.OutcomeFailed, "Failed", "bad"},
}

type outcomeName struct {
	Value       voice.Outcome
	Name, Class string
}

func nameOf(o voice.Outcome) outcomeName {
	if i := slices.IndexFunc(outcomeNames, func(n outcomeName) bool { return n.Value == o }); i >= 0 {
		return outcomeNames[i]
	}
	return outcomeName{o, cmp.Or(string(o), "Unknown"), "off"}
}

// period is a choice of the time filter.
type period struct {
	Value, Name string
	lasts       time.Duration
}

var periods = []period{
	{"1h", "Last hour", time.Hour},
	{"24h", "Last 24 hours", 24 * time.Hour},
	{"7d", "Last 7 days", 7 * 24 * time.Hour},
	{"30d", "Last 30 days", 30 * 24 * time.Hour},
}

// cdrsView is a page of the call history.
type cdrsView struct {
	Base, CSV              string
	Query, Outcome, Period string
	Voice                  string
	Voices                 []voiceChoice
	Trunk, From, Until, TZ string // From and Until are those of the reader's clock, TZ minutes from it to UTC
	Trunks                 []string
	Outcomes               []outcomeName
	Periods                []period
	Filtered               bool
	Rows                   []cdrRow
	Pager                  pager
}

// cdrRow is one call attempt in words.
type cdrRow struct {
	Href         string
	Start        time.Time
	Caller, Name string
	Dialled      string
	Answered     string // "" when it is what was dialled
	Outcome      outcomeName
	Talk         string
	Type         string
	TrunkIn      string
	TrunkOut     string
	Ladder       string // address of its SIP messages
	Score        score  // the lowest of its voice
}

func (s *Server) cdrs(r *request) error {
	q, filter := s.cdrQuery(r)
	base := tenantPath(r.tenant, "cdrs")
	v := &cdrsView{
		Base: base, CSV: withQuery(base+".csv", filter), Query: filter.Get("q"), Outcome: filter.Get("outcome"), Period: filter.Get("period"),
		Outcomes: outcomeNames, Periods: periods, Filtered: len(filter) > 0,
		Voice: filter.Get("voice"), Voices: voiceChoices, Trunk: filter.Get("trunk"), From: filter.Get("from"), Until: filter.Get("until"), TZ: filter.Get("tz"),
	}
	var err error
	if v.Trunks, err = r.trunkNames(v.Trunk); err != nil {
		return err
	}
	q.Limit, q.After = pageSize, r.query("after")
	page, err := s.cdrSource(r.ctx, q)
	if errors.Is(err, voice.ErrInvalid) && q.After != "" { // a link that somebody has changed
		return r.c.Redirect(withQuery(base, filter), fiber.StatusSeeOther)
	}
	if err != nil {
		return err
	}
	for i := range page.Records {
		v.Rows = append(v.Rows, rowOf(&page.Records[i]))
	}
	v.Pager = newPager(base, filter, q.After, page.Next)
	return r.page("cdrs", "Call history", "cdrs", v)
}

// cdrQuery reads the filter of the page; filter is what of it makes sense, for links that keep it.
func (s *Server) cdrQuery(r *request) (q contract.CDRQuery, filter url.Values) {
	const longest = 64 // of a text, as in the form
	q, filter = contract.CDRQuery{Tenant: r.tenant}, url.Values{}
	if text := []rune(r.query("q")); len(text) > 0 {
		q.Text = string(text[:min(len(text), longest)])
		filter.Set("q", q.Text)
	}
	if i := slices.IndexFunc(outcomeNames, func(n outcomeName) bool { return string(n.Value) == r.query("outcome") }); i >= 0 {
		q.Outcome = outcomeNames[i].Value
		filter.Set("outcome", string(q.Outcome))
	}
	if i := slices.IndexFunc(periods, func(p period) bool { return p.Value == r.query("period") }); i >= 0 {
		q.From = s.now().Add(-periods[i].lasts)
		filter.Set("period", periods[i].Value)
	}
	if i := slices.IndexFunc(voiceChoices, func(c voiceChoice) bool { return c.Value == r.query("voice") }); i >= 0 {
		q.MaxMOS = voiceChoices[i].most
		filter.Set("voice", voiceChoices[i].Value)
	}
	if q.Trunk = r.query("trunk"); q.Trunk != "" {
		filter.Set("trunk", q.Trunk)
	}
	if filter.Get("period") == "" { // a period is shorter to say, so it goes before times
		s.timeSpan(r, &q, filter)
	}
	return q, filter
}

// clockLayout is how a browser sends the time of a datetime-local field.
const clockLayout = "2006-01-02T15:04"

// timeSpan reads a beginning and an end by the reader's clock, and how many minutes that is behind UTC.
func (s *Server) timeSpan(r *request, q *contract.CDRQuery, filter url.Values) {
	const most = 24 * 60
	behind, err := strconv.Atoi(r.query("tz"))
	if err != nil || behind < -most || behind > most {
		behind = 0
	}
	for name, into := range map[string]*time.Time{"from": &q.From, "until": &q.Until} {
		at, err := time.Parse(clockLayout, r.query(name))
		if err != nil {
			continue
		}
		*into = at.Add(time.Duration(behind) * time.Minute)
		filter.Set(name, r.query(name))
		filter.Set("tz", strconv.Itoa(behind))
	}
}

// trunkNames lists trunks and softswitches for the filter, current among them.
func (r *request) trunkNames(current string) ([]string, error) {
	var names []string
	for _, kind := range []voice.DNType{voice.DNTrunk, voice.DNSoftswitch} {
		list, err := fabric.Call(r.ctx, r.f, contract.ConfigList, contract.ConfigListRequest{Tenant: r.tenant, Kind: voice.KindDN, Type: string(kind), Limit: maxSwitch})
		if err != nil {
			return nil, err
		}
		for _, res := range list.Resources {
			names = append(names, res.Key)
		}
	}
	if current != "" && !slices.Contains(names, current) { // one that has been deleted has calls all the same
		names = append(names, current)
	}
	slices.Sort(names)
	return names, nil
}

func rowOf(c *voice.CDR) cdrRow {
	row := cdrRow{
		Href: tenantPath(c.Tenant, "cdrs", c.CallUUID), Start: c.Start, Caller: cmp.Or(c.Caller, "anonymous"), Name: c.CallerName,
		Dialled: cmp.Or(c.Dialled, "–"), Outcome: nameOf(c.Outcome), Type: c.Type.String(),
		TrunkIn: c.TrunkIn, TrunkOut: c.TrunkOut, Ladder: tenantPath(c.Tenant, "calls", c.CallUUID), Score: scoreOf(c.WorstMOS()),
	}
	if c.Answered != c.Dialled {
		row.Answered = c.Answered
	}
	if !c.Answer.IsZero() {
		row.Talk = lasting(c.Talk)
	}
	return row
}

// lasting writes a duration as people read it off a clock: 0:07, 12:34, 1:02:03.
func lasting(d time.Duration) string {
	s := int64(max(d, 0).Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// exactly writes a duration with tenths below a minute.
func exactly(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	}
	return lasting(d)
}

func (s *Server) exportCDRs(r *request) error {
	q, _ := s.cdrQuery(r)
	body, err := contract.CDRCSV(r.ctx, s.cdrSource, q)
	if err != nil {
		return err
	}
	r.c.Attachment("cdrs-" + url.PathEscape(r.tenant) + ".csv")
	r.c.Set(fiber.HeaderContentType, contract.CDRContentType)
	httpapi.StreamTo(r.c, body)
	return nil
}

// cdrSource asks the door for a page of records.
func (s *Server) cdrSource(ctx context.Context, q contract.CDRQuery) (contract.CDRPage, error) {
	return fabric.Call(ctx, s.f, contract.CDRs, q)
}

// cdrView is the page of one call attempt.
type cdrView struct {
	cdrRow
	Base     string
	Reason   string
	EndedBy  string
	Timeline timeline
	Voice    *voiceView
	Facts    []fact
}

func (s *Server) cdr(r *request) error {
	c, err := fabric.Call(r.ctx, s.f, contract.CDRGet, contract.CDRKey{Tenant: r.tenant, CallUUID: r.param("call")})
	if err != nil {
		return err
	}
	v := &cdrView{
		cdrRow: rowOf(&c), Base: tenantPath(r.tenant, "cdrs"), Reason: c.Reason, Timeline: timelineOf(&c),
		EndedBy: map[string]string{"caller": "the caller", "callee": "the called side", "system": "the platform"}[c.EndedBy],
	}
	events, err := s.voiceEventsOf(r.ctx, r.tenant, c.CallUUID)
	if err != nil {
		return err
	}
	v.Voice = voiceOf(&c, events, party(c.Caller, "caller"), party(cmp.Or(c.Answered, c.Dialled), "called side"))
	for _, f := range []fact{
		{"Kind", v.Type}, {"Caller", c.Caller}, {"Caller's name", c.CallerName}, {"Dialled", c.Dialled}, {"Reached", c.Answered},
		{"Route point", c.RoutePoint}, {"Trunk in", c.TrunkIn}, {"Trunk out", c.TrunkOut}, {"SIP status", number(c.Status)}, {"Call UUID", c.CallUUID}, {"Thread", c.ThreadID},
		{"SIP Call-ID", c.SIPCallID}, {"Node", c.Node}, {"Events", number(int(c.Events))},
	} {
		if f.Value != "" {
			v.Facts = append(v.Facts, f)
		}
	}
	return r.page("cdr", "Call of "+v.Caller, "cdrs", v)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// timeline is a call drawn as a bar: setting up, ringing, talking.
type timeline struct {
	Label  string // the same in words
	Spans  []span
	Points []point
}

// span is a part of the bar, in units of a drawing that is timelineWidth wide.
type span struct {
	X, Width    float64
	Class, Name string
	Length      string
}

// point is something that happened.
type point struct {
	Name  string
	Class string
	At    time.Time
	After string // since the start
}

const (
	timelineWidth = 600
	leastSpan     = 36 // a second of ringing must be seen beside an hour of talk
)

// timelineOf draws what is known: a call may end without ringing or answer.
func timelineOf(c *voice.CDR) timeline {
	t := timeline{Points: []point{{Name: "Began", Class: "setup", At: c.Start}}}
	var lengths []time.Duration
	at, name, class := c.Start, "Setting up", "setup"
	until := func(to time.Time) {
		d := max(to.Sub(at), 0)
		t.Spans = append(t.Spans, span{Class: class, Name: name, Length: exactly(d)})
		lengths = append(lengths, d)
		at = to
	}
	happened := func(to time.Time, what, nextName, nextClass string) {
		if to.IsZero() {
			return
		}
		until(to)
		name, class = nextName, nextClass
		t.Points = append(t.Points, point{Name: what, Class: nextClass, At: to, After: exactly(to.Sub(c.Start))})
	}
	happened(c.Ringing, "Rang", "Ringing", "ring")
	happened(c.Answer, "Was answered", "Talking", "talk")
	if !c.End.IsZero() {
		until(c.End)
		t.Points = append(t.Points, point{Name: "Ended", Class: "end", At: c.End, After: exactly(c.End.Sub(c.Start))})
	}
	share(t.Spans, lengths)
	words := make([]string, len(t.Spans))
	for i, s := range t.Spans {
		words[i] = strings.ToLower(s.Name) + " " + s.Length
	}
	t.Label = "Timeline: " + strings.Join(words, ", ")
	return t
}

// share gives each span its least width, and of the rest what its length is of all.
func share(spans []span, lengths []time.Duration) {
	var sum time.Duration
	for _, d := range lengths {
		sum += d
	}
	x, rest := 0.0, float64(timelineWidth-leastSpan*len(spans))
	for i := range spans {
		part := 1 / float64(len(spans))
		if sum > 0 {
			part = float64(lengths[i]) / float64(sum)
		}
		spans[i].X, spans[i].Width = x, leastSpan+rest*part
		x += spans[i].Width
	}
}
