package trunk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/sipua/locate"
)

// Status lists the trunks of a tenant, or of all; dn "" is all of them.
func (t *Table) Status(tenant, dn string) []contract.TrunkStatus {
	out := []contract.TrunkStatus{}
	for _, tr := range t.all() {
		if (tenant == "" || tr.Tenant == tenant) && (dn == "" || tr.DN == dn) {
			out = append(out, tr.status())
		}
	}
	slices.SortFunc(out, func(a, b contract.TrunkStatus) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.DN, b.DN))
	})
	return out
}

func (tr *Trunk) status() contract.TrunkStatus {
	s := contract.TrunkStatus{
		Tenant: tr.Tenant, DN: tr.DN, Type: string(tr.Type), Node: tr.table.node,
		Prefix: tr.Options.Prefix, Priority: tr.Options.Priority, Capacity: tr.Options.Capacity,
		Calls: int(tr.counts.calls.Load()), Created: tr.counts.created.Load(), Received: tr.counts.received.Load(),
		Answers4: tr.counts.n4.Load(), Answers5: tr.counts.n5.Load(), Answers6: tr.counts.n6.Load(), OutOfServ: tr.counts.oos.Load(),
		Targets: []contract.TrunkTarget{},
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	s.State, s.Reason, s.Since = tr.state, tr.reason, tr.since.UTC()
	for _, g := range tr.orderLocked(locate.Answer.Listed) {
		s.Targets = append(s.Targets, g.status())
	}
	if tr.registration != nil {
		r := *tr.registration
		s.Registration = &r
	}
	return s
}

func (g *target) status() contract.TrunkTarget {
	out := contract.TrunkTarget{
		Contact: g.key.contact, Address: g.key.at.Addr.String(), Transport: string(g.key.at.Transport),
		State: g.state, Reason: g.reason, RTTMillis: float64(g.rtt.Microseconds()) / 1000,
	}
	if !g.checked.IsZero() {
		out.Checked = g.checked.UTC()
	}
	return out
}

// Trouble says in a sentence which trunks are out of service, "" when none is.
func (t *Table) Trouble() string {
	var out []string
	all := t.all()
	for _, tr := range all {
		tr.mu.Lock()
		if tr.state == contract.TrunkOutOfService {
			out = append(out, tr.Tenant+"/"+tr.DN)
		}
		tr.mu.Unlock()
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	const most = 5
	names := strings.Join(out[:min(len(out), most)], ", ")
	if len(out) > most {
		names += " …"
	}
	return fmt.Sprintf("%d of %d trunks out of service: %s", len(out), len(all), names)
}

// quiet is a time that never comes.
var quiet = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
