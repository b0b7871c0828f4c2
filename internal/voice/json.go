package voice

import (
	"encoding/json"
	"strconv"
	"time"
)

// Events and records are written in the thousands a second, so their JSON is made by hand: byte for byte what
// encoding/json makes of the struct, which a test holds.

// AppendJSON appends e as JSON.
func (e *CallEvent) AppendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.string("id", string(e.ID))
	o.string("Server", e.Server)
	o.string("ThisDN", e.ThisDN)
	o.some("ThisDNRole", string(e.ThisDNRole))
	o.some("ThisQueue", e.ThisQueue)
	o.some("ThisTrunk", e.ThisTrunk)
	o.some("OtherDN", e.OtherDN)
	o.some("OtherDNRole", string(e.OtherDNRole))
	o.some("ThirdPartyDN", e.ThirdPartyDN)
	o.some("ThirdPartyDNRole", string(e.ThirdPartyDNRole))
	o.string("ConnID", e.ConnID)
	o.some("PreviousConnID", e.PreviousConnID)
	o.some("TransferConnID", e.TransferConnID)
	o.some("ConferenceConnID", e.ConferenceConnID)
	o.uint("CallID", e.CallID)
	o.string("CallUUID", e.CallUUID)
	o.string("CallThreadID", e.CallThreadID)
	o.int("CallType", int64(e.CallType))
	o.int("CallState", int64(e.CallState))
	o.some("ANI", e.ANI)
	o.some("DNIS", e.DNIS)
	o.list("UserData", e.UserData)
	o.number("UserDataVersion", e.UserDataVersion)
	o.number("ReferenceID", e.ReferenceID)
	o.some("CustomerID", e.CustomerID)
	o.number("TreatmentType", int64(e.TreatmentType))
	o.some("CollectedDigits", e.CollectedDigits)
	o.some("LastCollectedDigit", e.LastCollectedDigit)
	o.list("Extensions", e.Extensions)
	o.list("Reasons", e.Reasons)
	o.some("DTMFDigits", e.DTMFDigits)
	if e.Recording != nil {
		b, _ := json.Marshal(e.Recording) // it has nothing that cannot be written
		o.dst = append(o.name("Recording"), b...)
	}
	o.number("ErrorCode", int64(e.ErrorCode))
	o.some("ErrorMessage", e.ErrorMessage)
	o.string("tenant", e.Tenant)
	o.uint("seq", e.Seq)
	o.time("time", e.Time)
	o.string("node", e.Node)
	return append(o.dst, '}')
}

// list appends a list unless it is empty.
func (o *object) list(name string, l KVList) {
	if len(l) > 0 {
		b, _ := json.Marshal(l) // text, numbers and lists of them cannot fail
		o.dst = append(o.name(name), b...)
	}
}

// AppendJSON appends r as JSON.
func (r *CDR) AppendJSON(dst []byte) []byte {
	o := object{dst: append(dst, '{')}
	o.string("call_uuid", r.CallUUID)
	o.string("thread_id", r.ThreadID)
	o.string("tenant", r.Tenant)
	o.string("node", r.Node)
	o.int("type", int64(r.Type))
	o.string("caller", r.Caller)
	o.some("caller_name", r.CallerName)
	o.string("dialled", r.Dialled)
	o.some("answered", r.Answered)
	o.some("route_point", r.RoutePoint)
	o.number("queued_ns", int64(r.Queued))
	o.some("trunk_in", r.TrunkIn)
	o.some("trunk_out", r.TrunkOut)
	o.time("start", r.Start)
	if !r.Ringing.IsZero() {
		o.time("ringing", r.Ringing)
	}
	if !r.Answer.IsZero() {
		o.time("answer", r.Answer)
	}
	o.time("end", r.End)
	o.int("talk_ns", int64(r.Talk))
	o.string("outcome", string(r.Outcome))
	o.int("status", int64(r.Status))
	o.string("ended_by", r.EndedBy)
	o.some("reason", r.Reason)
	o.string("sip_call_id", r.SIPCallID)
	o.uint("events", r.Events)
	o.media("caller_media", r.CallerMedia)
	o.media("callee_media", r.CalleeMedia)
	return append(o.dst, '}')
}

// object is a JSON object being written.
type object struct{ dst []byte }

// name begins a member; names are ours and need no escapes.
func (o *object) name(name string) []byte {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(append(append(o.dst, '"'), name...), '"', ':')
	return o.dst
}

func (o *object) string(name, value string) { o.dst = appendString(o.name(name), value) }

// some leaves an empty value out.
func (o *object) some(name, value string) {
	if value != "" {
		o.string(name, value)
	}
}

func (o *object) int(name string, value int64) { o.dst = strconv.AppendInt(o.name(name), value, 10) }

// number leaves 0 out.
func (o *object) number(name string, value int64) {
	if value != 0 {
		o.int(name, value)
	}
}

func (o *object) uint(name string, value uint64) { o.dst = strconv.AppendUint(o.name(name), value, 10) }

// time writes RFC 3339; a time before the year 0 or after 9999, which it cannot say, becomes zero.
func (o *object) time(name string, value time.Time) {
	if y := value.Year(); y < 0 || y > 9999 {
		value = time.Time{}
	}
	o.dst = append(value.AppendFormat(append(o.name(name), '"'), time.RFC3339Nano), '"')
}

// media leaves out what is not there.
func (o *object) media(name string, q *MediaQuality) {
	if q == nil {
		return
	}
	b, _ := json.Marshal(q) // plain numbers and a string cannot fail
	o.dst = append(o.name(name), b...)
}

// appendString takes the short way for what needs no escape, which is nearly everything.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, _ := json.Marshal(s) // a string cannot fail
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
