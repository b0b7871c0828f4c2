// Package ixn is the module of interactions: what a script does with a call or another item as a whole. Those that only calls know have
// events that begin with voice. [Ask] says which request of T-Library an action comes to.
package ixn

import (
	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// Name is that of the module.
const Name = "interaction"

// The actions that are more than one request of T-Library.
const (
	Accept    = "accept"
	Reject    = "reject"
	Redirect  = "redirect"
	Terminate = "terminate"
	Detach    = "detach"
	Attach    = "attach"
	Associate = "associate"
	Create    = "createcall"
)

// Module is the module.
func Module() module.Module {
	const calls = "voice"
	hints := []string{"reason", "resource", "hints"}
	to := []string{"destination", "from", "hints", "resource", "reason"}
	data := []string{"udata", "key", "value", "delete"}
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: Accept, Attrs: hints}, {Name: Reject, Attrs: hints},
		{Name: Terminate, Attrs: hints},
		{Name: Redirect, Attrs: append(to, "type"), Check: destined},
		{Name: "transfer", Attrs: to, Check: destined},
		{Name: Attach, Attrs: []string{"sessionid"}}, {Name: Detach}, {Name: Associate, Attrs: []string{"sessionid"}, Needs: []string{"sessionid"}},
		{Name: "setuserdata", Attrs: data, Inside: module.Payload("udata"), Check: pairs},
		{Name: "udata", Attrs: data, Inside: module.Payload("udata"), Check: pairs},
		{Name: "attachuserdata", Attrs: data, Inside: module.Payload("udata"), Check: pairs},
		{Name: "deleteuserdata", Attrs: []string{"key"}},
		{Name: "userevent", Attrs: []string{"dn", "udata"}, Needs: []string{"dn"}, Inside: module.Payload("udata"), Alone: true},
		{Name: Create, Events: calls, Attrs: []string{"from", "to", "udata"}, Needs: []string{"from", "to"}, Alone: true},
		{Name: "hold", Events: calls, Attrs: []string{"from"}}, {Name: "retrieve", Events: calls, Attrs: []string{"from"}},
		{Name: "singlesteptransfer", Events: calls, Attrs: to, Check: destined},
		{Name: "singlestepconference", Events: calls, Attrs: to, Check: destined},
		{Name: "alternate", Events: calls, Attrs: []string{"from", "heldinteractionid"}},
		{Name: "reconnect", Events: calls, Attrs: []string{"from", "heldinteractionid"}},
	}}
}

func destined(r *module.Request) error {
	if Destination(r) == "" {
		return module.Refuse(module.InvalidDestination, "<%s> has no destination", r.Name())
	}
	return nil
}

func pairs(r *module.Request) error {
	if len(UserData(r)) == 0 && r.Text("delete") == "" {
		return module.Refuse(module.InvalidParameter, "<%s> changes nothing: udata is no object with keys", r.Name())
	}
	return nil
}

// Destination is where to: a number, or a resource that queue.submit selected.
func Destination(r *module.Request) string {
	for _, name := range []string{"destination", "resource"} {
		if to, ok := r.Args[name].(map[string]any); ok {
			if dn, ok := to["dn"]; ok {
				return scxml.Text(dn)
			}
		} else if to := r.Text(name); to != "" {
			return to
		}
	}
	return ""
}

// UserData is what an action attaches.
func UserData(r *module.Request) voice.KVList {
	if key := r.Text("key"); key != "" && r.Args["value"] != nil {
		return voice.KVList{key: pair(r.Args["value"])}
	}
	list, _ := r.Args["udata"].(map[string]any)
	out := voice.KVList{}
	for k, v := range list {
		out[k] = pair(v)
	}
	return out
}

// pair makes a value of a list of keys and values: whole numbers stay numbers.
func pair(v any) any {
	switch v := v.(type) {
	case float64:
		if n := int64(v); float64(n) == v {
			return n
		}
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case map[string]any:
		out := voice.KVList{}
		for k, e := range v {
			out[k] = pair(e)
		}
		return out
	}
	return scxml.Text(v)
}

// requests are what voice actions come to.
var requests = map[string]voice.RequestName{
	Create: voice.RequestMakeCall, "hold": voice.RequestHoldCall, "retrieve": voice.RequestRetrieveCall,
	"singlesteptransfer": voice.RequestSingleStepTransfer, "transfer": voice.RequestSingleStepTransfer,
	"singlestepconference": voice.RequestSingleStepConference, "alternate": voice.RequestAlternateCall,
	"reconnect": voice.RequestReconnectCall, "setuserdata": voice.RequestUpdateUserData, "udata": voice.RequestUpdateUserData,
	"attachuserdata": voice.RequestAttachUserData, "userevent": voice.RequestDistributeUserEvent, Terminate: voice.RequestClearCall,
}

// Ask is the request of T-Library that an action comes to; the call and the party, where the action names none, are added by
// who knows them. nil says that it is none.
func Ask(r *module.Request) *voice.Request {
	name, ok := requests[r.Action]
	if !ok && r.Action != "deleteuserdata" {
		return nil
	}
	q := &voice.Request{Name: name, ThisDN: r.Text("from"), OtherDN: Destination(r)}
	switch r.Action {
	case Create:
		q.OtherDN, q.UserData = r.Text("to"), UserData(r)
	case "setuserdata", "udata", "attachuserdata":
		q.UserData = UserData(r)
		if key := r.Text("delete"); key != "" && len(q.UserData) == 0 {
			q.Name, q.Key = voice.RequestDeletePair, key
		}
	case "deleteuserdata":
		if q.Name, q.Key = voice.RequestDeletePair, r.Text("key"); q.Key == "" {
			q.Name = voice.RequestDeleteUserData
		}
	case "userevent":
		q.ThisDN, q.UserData = r.Text("dn"), UserData(r)
	}
	if reason := r.Text("reason"); reason != "" {
		q.Reasons = voice.KVList{"ReasonCode": reason}
	}
	return q
}
