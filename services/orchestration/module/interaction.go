package module

import (
	"strconv"

	"parley/internal/scxml"
)

// Interaction is a call, a chat, an e-mail or a task as its session sees it.
type Interaction struct {
	ID       string         `json:"g_uid"`
	Tenant   string         `json:"tenantid"`
	Media    string         `json:"media"` // voice, chat, email, task …
	State    string         `json:"state"` // queued, routed, established, held …
	UserData map[string]any `json:"udata,omitempty"`
	Voice    *Voice         `json:"voice,omitempty"`
	Parties  []Party        `json:"parties,omitempty"`
}

// Voice is what a call has and nothing else does.
type Voice struct {
	ANI        string `json:"ani"`
	DNIS       string `json:"dnis"`
	CallID     uint64 `json:"callid"`
	ConnID     string `json:"connid"`
	Type       string `json:"type"` // internal, inbound, outbound or consult
	RoutePoint string `json:"dn"`   // where it waits, or waited last
}

// Party is a device in an interaction.
type Party struct {
	DN    string `json:"dn"`
	State string `json:"state"` // dialing, ringing, queued, established, held
}

// value is the interaction as scripts read it.
func (i *Interaction) value() map[string]any {
	parties := make([]any, len(i.Parties))
	for n, p := range i.Parties {
		parties[n] = map[string]any{"dn": p.DN, "state": p.State}
	}
	udata := make(map[string]any, len(i.UserData))
	for k, v := range i.UserData {
		udata[k] = plain(v)
	}
	out := map[string]any{
		"g_uid": i.ID, "tenantid": i.Tenant, "media": i.Media, "state": i.State, "udata": udata, "parties": parties,
	}
	if v := i.Voice; v != nil {
		out["voice"] = map[string]any{
			"ani": v.ANI, "dnis": v.DNIS, "callid": float64(v.CallID), "connid": v.ConnID, "type": v.Type, "dn": v.RoutePoint,
		}
	}
	return out
}

// plain makes values of scripts of what lists of keys and values hold.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	}
	return v
}

// About is a session as _parley.session shows it.
type About struct {
	ID     string
	Tenant string
	Node   string // that runs it
	Script string
	Params map[string]any // of the application, and of who started it
}

// interactions is _parley.ixn.interactions: by id, or by number.
type interactions struct{ host Host }

func (v interactions) Keys() []string {
	var keys []string
	for n := range v.host.Interactions() {
		keys = append(keys, strconv.Itoa(n))
	}
	return keys
}

func (v interactions) Get(key string) any {
	all := v.host.Interactions()
	if key == "length" {
		return float64(len(all))
	}
	if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(all) {
		return all[n].value()
	}
	for _, i := range all {
		if i.ID == key {
			return i.value()
		}
	}
	return scxml.Undefined
}

// roots are the functions of each object root.
var roots = [...]struct {
	name      string
	functions []string
}{
	{"session", []string{"getListItemValue", "inBusinessHours", "isSpecialDay", "dayInZone", "timeInZone", "dateInZone", "getConfigOption"}},
	{"queue", []string{"excludeAgents", "priorityTuning", "setIdealAgent", "checkAgentState", "rejectFinalTarget", "targetListSelected"}},
	{"statistic", []string{"sData", "getAvgData"}},
	{"dialog", nil}, {"resource", nil}, {"ws", nil}, {"classification", nil},
}

// Globals are the object roots _parley and, the same, _genesys.
func Globals() map[string]scxml.Global {
	root := func(h *scxml.Handle) any {
		host, ok := h.Owner().(Host)
		if !ok {
			return map[string]any{}
		}
		all := map[string]any{"ixn": map[string]any{"interactions": interactions{host}}}
		for _, r := range roots {
			object := map[string]any{}
			for _, f := range r.functions {
				name := r.name + "." + f
				object[f] = scxml.Func(func(args []any) (any, error) { return host.Function(name, args) })
			}
			all[r.name] = object
		}
		about := host.About()
		session := all["session"].(map[string]any)
		session["id"], session["tenant"], session["script"] = about.ID, about.Tenant, about.Script
		session["server"] = map[string]any{"name": about.Node, "cluster": "parley"}
		session["params"] = map[string]any(about.Params)
		session["lookupseq"] = map[string]any{"exact": "exact", "closest": "closest"}
		return all
	}
	return map[string]scxml.Global{"_parley": root, "_genesys": root}
}
