package web

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
	"parley/web/live"
)

const (
	topicTrunks = "trunks" // name: the tenant; one key
	topicTrunk  = "trunk"  // name: tenant and number; one key
	maxTrunks   = 500      // shown of a tenant
)

// trunksView is the list of trunks and softswitches, and its live part.
type trunksView struct {
	Base     string
	MayWrite bool
	Unknown  bool   // no SIP node tells
	Silent   string // nodes that did not answer
	Rows     []trunkRow
}

// trunkRow is a trunk as all nodes together see it.
type trunkRow struct {
	Href, DN, Name, Type string
	Prefix               string
	State                levelView
	Reason               string
	Since                time.Time
	Targets, Good        int // targets, and those that take calls
	First                string
	Registration         *contract.TrunkRegistration
	Calls, Capacity      int // 0 = no limit
	Fill                 float64
	FillClass            string
	Created, Received    int64
	Bad                  int64 // answers 4xx to 6xx
	CallsHref            string
}

const fillWidth = 100.0 // of the drawing of a capacity

func (s *Server) trunks(r *request) error {
	v, err := s.trunksOf(r.ctx, r.tenant)
	if err != nil {
		return err
	}
	v.MayWrite = r.who.MayWrite(r.tenant)
	return r.page("trunks", "Trunks", "trunks", v)
}

// trunksOf reads what is configured, and asks the nodes how it is.
func (s *Server) trunksOf(ctx context.Context, tenant string) (*trunksView, error) {
	base := tenantPath(tenant, "trunks")
	v := &trunksView{Base: base}
	answers, silent := contract.AskNodes(ctx, s.f, contract.Trunks, s.board.nodeIDs(), contract.TrunksRequest{Tenant: tenant})
	v.Unknown, v.Silent = len(answers) == 0, strings.Join(silent, ", ")
	states := map[string][]contract.TrunkStatus{}
	for _, a := range answers {
		for _, st := range a.Trunks {
			states[st.DN] = append(states[st.DN], st)
		}
	}
	for _, kind := range []voice.DNType{voice.DNTrunk, voice.DNSoftswitch} {
		list, err := fabric.Call(ctx, s.f, contract.ConfigList, contract.ConfigListRequest{Tenant: tenant, Kind: voice.KindDN, Type: string(kind), Limit: maxTrunks})
		if err != nil {
			return nil, err
		}
		for _, res := range list.Resources {
			var dn voice.DN
			if err := decode(res, &dn); err != nil {
				return nil, err
			}
			v.Rows = append(v.Rows, trunkRowOf(tenant, &dn, states[dn.Number]))
		}
	}
	slices.SortFunc(v.Rows, func(a, b trunkRow) int { return cmp.Compare(a.DN, b.DN) })
	return v, nil
}

// trunkRowOf puts what the nodes see of a trunk together.
func trunkRowOf(tenant string, dn *voice.DN, states []contract.TrunkStatus) trunkRow {
	options := dn.Options["TServer"]
	row := trunkRow{
		Href: tenantPath(tenant, "trunks", dn.Number), DN: dn.Number, Name: dn.Name, Type: string(dn.Type), Prefix: options[voice.OptionPrefix],
		First: options[voice.OptionContact], CallsHref: tenantPath(tenant, "calls") + "?q=" + url.QueryEscape(dn.Number),
	}
	row.State, row.Reason, row.Since = stateOfTrunk(states)
	for i := range states {
		st := &states[i]
		row.Calls += st.Calls
		row.Capacity += st.Capacity
		row.Created += st.Created
		row.Received += st.Received
		row.Bad += st.Answers4 + st.Answers5 + st.Answers6
		if st.Registration != nil && (row.Registration == nil || row.Registration.State != "registered") {
			row.Registration = st.Registration
		}
	}
	if len(states) > 0 {
		row.Targets = len(states[0].Targets)
		for _, t := range states[0].Targets {
			if t.State != contract.TrunkOutOfService {
				row.Good++
			}
		}
	}
	if row.Capacity > 0 {
		row.Fill = fillWidth * min(float64(row.Calls)/float64(row.Capacity), 1)
		row.FillClass = fillClass(row.Calls, row.Capacity)
	}
	return row
}

// fillClass is the colour of a capacity in use.
func fillClass(calls, capacity int) string {
	switch {
	case calls >= capacity:
		return "full"
	case calls*10 >= capacity*8:
		return "high"
	}
	return ""
}

// stateOfTrunk is the state that the nodes agree on, or that they do not.
func stateOfTrunk(states []contract.TrunkStatus) (level levelView, reason string, since time.Time) {
	if len(states) == 0 {
		return levelView{"Unknown", "off"}, "", time.Time{}
	}
	var out []string
	for _, st := range states {
		if st.State == contract.TrunkOutOfService {
			out = append(out, st.Node)
			reason = cmp.Or(reason, st.Reason)
		}
		if st.Since.After(since) {
			since = st.Since
		}
	}
	switch {
	case len(out) == len(states):
		return levelView{"Out of service", "bad"}, reason, since
	case len(out) > 0:
		return levelView{"Partly out", "warn"}, fmt.Sprintf("out of service on %s: %s", strings.Join(out, ", "), reason), since
	case states[0].State == contract.TrunkInService:
		return levelView{"In service", "good"}, "", since
	}
	return levelView{"Not watched", "off"}, "", since
}

// trunkView is the page of one trunk, and its live part.
type trunkView struct {
	trunkRow
	Base     string
	MayWrite bool
	Unknown  bool
	Nodes    []trunkNode
	Options  []fact
	Changes  []changeView
	Records  string // address of its calls that are over
}

// trunkNode is a trunk as one node sees it.
type trunkNode struct {
	contract.TrunkStatus
	Level   levelView
	Targets []trunkTarget
}

type trunkTarget struct {
	contract.TrunkTarget
	Level levelView
}

// levelOfTrunk is a state in words.
func levelOfTrunk(st contract.TrunkState) levelView {
	switch st {
	case contract.TrunkInService:
		return levelView{"In service", "good"}
	case contract.TrunkOutOfService:
		return levelView{"Out of service", "bad"}
	}
	return levelView{"Not watched", "off"}
}

// readTrunk reads the trunk or softswitch of the path.
func (r *request) readTrunk(dn *voice.DN) (voice.Resource, error) {
	res, err := r.read(r.tenant, voice.KindDN, r.param("key"), dn)
	if err != nil {
		return voice.Resource{}, err
	}
	if dn.Type != voice.DNTrunk && dn.Type != voice.DNSoftswitch {
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "%s is no trunk", res.Key)
	}
	return res, nil
}

func (s *Server) trunk(r *request) error {
	var dn voice.DN
	res, err := r.readTrunk(&dn)
	if err != nil {
		return err
	}
	v := s.trunkOf(r.ctx, r.tenant, &dn)
	v.MayWrite = r.who.MayWrite(r.tenant)
	v.Options = optionFacts(dn.Options)
	v.Records = tenantPath(r.tenant, "cdrs") + "?trunk=" + url.QueryEscape(dn.Number)
	hist, err := fabric.Call(r.ctx, s.f, contract.ConfigHistory, contract.ConfigHistoryRequest{Tenant: r.tenant, Kind: voice.KindDN, Key: res.Key, Limit: recentChanges})
	if err != nil {
		return err
	}
	v.Changes = changesOf(hist.Changes)
	return r.page("trunk", res.Key, "trunks", v)
}

// trunkOf asks every node how a trunk is.
func (s *Server) trunkOf(ctx context.Context, tenant string, dn *voice.DN) *trunkView {
	answers, _ := contract.AskNodes(ctx, s.f, contract.Trunks, s.board.nodeIDs(), contract.TrunksRequest{Tenant: tenant, DN: dn.Number})
	v := &trunkView{Base: tenantPath(tenant, "trunks", dn.Number), Unknown: len(answers) == 0}
	var states []contract.TrunkStatus
	for _, a := range answers {
		states = append(states, a.Trunks...)
	}
	v.trunkRow = trunkRowOf(tenant, dn, states)
	for _, st := range states {
		n := trunkNode{TrunkStatus: st, Level: levelOfTrunk(st.State)}
		for _, t := range st.Targets {
			n.Targets = append(n.Targets, trunkTarget{t, levelOfTrunk(t.State)})
		}
		v.Nodes = append(v.Nodes, n)
	}
	return v
}

// liveTrunks follows the list. Nobody publishes how trunks are, so pages that are looked at ask (see board.tick).
func (s *Server) liveTrunks(tenant string) *liveView {
	return &liveView{
		topic: live.Topic{Kind: topicTrunks, Name: tenant}, event: "part",
		render: func(ctx context.Context, _ string) ([]byte, error) {
			v, err := s.trunksOf(ctx, tenant)
			if err != nil {
				return nil, err
			}
			return s.part("trunk-list", "trunk-list", v)
		},
	}
}

// liveTrunk follows one trunk.
func (s *Server) liveTrunk(tenant, number string) *liveView {
	return &liveView{
		topic: live.Topic{Kind: topicTrunk, Name: fabric.Key(tenant, number)}, event: "part",
		render: func(ctx context.Context, _ string) ([]byte, error) {
			res, err := fabric.Call(ctx, s.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: voice.KindDN, Key: number})
			if err != nil {
				return nil, err
			}
			var dn voice.DN
			if err := decode(res, &dn); err != nil {
				return nil, err
			}
			return s.part("trunk-state", "trunk-state", s.trunkOf(ctx, tenant, &dn))
		},
	}
}
