// Package dialog is the module of treatments: what a caller at a route point hears and is asked. [Treatment] says which treatment
// of T-Library an action comes to, and [Result] what its end tells the script.
//
// playsound without a duration, and stop, are done as soon as they were applied; all others when they ended. What cannot be applied
// (no speech, no VoiceXML: docs/routepoints.md) fails with the reason that the SIP node gives.
package dialog

import (
	"fmt"
	"strconv"
	"strings"

	"parley/internal/scxml"
	"parley/internal/voice"
	"parley/services/orchestration/module"
)

// Name is that of the module.
const Name = "dialog"

// Stop ends what the caller hears; he hears nothing then.
const Stop = "stop"

var digitAttrs = []string{
	"max_digits", "abort_digits", "term_digits", "reset_digits", "backspace_digits", "ignore_digits",
	"start_timeout", "digit_timeout", "total_timeout", "clear_flag",
}

// Module is the module.
func Module() module.Module {
	said := []string{"language", "duration"}
	return module.Module{Name: Name, Actions: []module.Action{
		{Name: "play", Attrs: said, Inside: inside("prompts"), Check: check},
		{Name: "playsound", Attrs: []string{"type", "resource", "duration", "language"}, Needs: []string{"type"}, Check: check},
		{Name: "collect", Attrs: digitAttrs, Inside: inside("input"), Check: check},
		{Name: "playandcollect", Attrs: append(said, digitAttrs...), Inside: inside("prompts", "input"), Check: check},
		{Name: "createann", Attrs: []string{"userid", "language", "abort_digits", "term_digits", "start_timeout", "total_timeout"}, Needs: []string{"userid"}, Inside: inside("prompts", "input"), Check: check},
		{Name: "deleteann", Attrs: []string{"userid", "userannid"}, Needs: []string{"userid", "userannid"}, Check: check},
		{Name: "start", Attrs: []string{"src", "id", "language"}, Inside: module.Payload("params"), Check: check},
		{Name: Stop, Attrs: []string{"reqid"}, Check: check},
		{Name: "setdefaultdestination", Attrs: []string{"destination"}, Needs: []string{"destination"}, Check: check},
	}}
}

func check(r *module.Request) error {
	_, _, err := Treatment(r)
	return err
}

// inside compiles <prompts> and <input>.
func inside(names ...string) func(b *scxml.Builder) (module.Fill, error) {
	return func(b *scxml.Builder) (module.Fill, error) {
		var fills []module.Fill
		module.Inside(b, func(name string, b *scxml.Builder) {
			if name == "prompts" {
				fills = append(fills, prompts(b))
			} else {
				fills = append(fills, module.Values(b, digitAttrs...))
			}
		}, names...)
		return func(h *scxml.Handle, args map[string]any) error {
			for _, fill := range fills {
				if err := fill(h, args); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// maxPrompts bounds what an action says; T-Library's treatments take 20, and ten were always promised.
const maxPrompts = 10

// prompts compiles <prompts> to the argument prompts: a list of objects.
func prompts(b *scxml.Builder) module.Fill {
	b.Only("type")
	kind := b.Value("type")
	var each []module.Fill
	module.Inside(b, func(_ string, b *scxml.Builder) {
		each = append(each, module.Values(b, "intid", "number", "userid", "userannid", "text", "interrupt", "id", "type"))
		if len(b.Node().Elements()) > 0 {
			b.Errorf("nothing can stand inside of it")
		}
	}, "prompt")
	if len(each) == 0 || len(each) > maxPrompts {
		b.Errorf("it has %d <prompt>, want 1 to %d", len(each), maxPrompts)
	}
	return func(h *scxml.Handle, args map[string]any) error {
		word, err := h.Text(kind)
		if err != nil {
			return err
		}
		if word != "" && word != "undefined" {
			switch word {
			case "ann", "tts", "undefined":
			default: // iretry and its like are said by who verifies, which nobody does
				return nil
			}
		}
		list, _ := args["prompts"].([]any)
		for _, fill := range each {
			prompt := map[string]any{}
			if err := fill(h, prompt); err != nil {
				return err
			}
			list = append(list, prompt)
		}
		args["prompts"] = list
		return nil
	}
}

// sounds are the types of playsound.
var sounds = map[string]voice.TreatmentType{
	"music": voice.TreatmentMusic, "ringback": voice.TreatmentRingBack, "silence": voice.TreatmentSilence,
	"busy": voice.TreatmentBusy, "fastbusy": voice.TreatmentFastBusy,
}

// Treatment is what an action comes to, or why it comes to nothing. TreatmentUnknown says that it is none: setdefaultdestination,
// which somebody else keeps.
func Treatment(r *module.Request) (voice.TreatmentType, voice.KVList, error) {
	kv := voice.KVList{}
	if lang := r.Text("language"); lang != "" {
		kv["LANGUAGE"] = lang
	}
	switch r.Action {
	case "play":
		return voice.TreatmentPlayAnnouncement, kv, said(r, kv)
	case "playandcollect":
		if err := said(r, kv); err != nil {
			return 0, nil, err
		}
		return voice.TreatmentPlayAnnouncementAndDigits, kv, digits(r.Args, kv)
	case "collect":
		return voice.TreatmentCollectDigits, kv, digits(r.Args, kv)
	case "playsound":
		return sound(r, kv)
	case "createann":
		kv["USER_ID"] = r.Text("userid")
		if r.Args["prompts"] != nil {
			if err := said(r, kv); err != nil {
				return 0, nil, err
			}
		}
		return voice.TreatmentRecordUserAnnouncement, kv, digits(r.Args, kv)
	case "deleteann":
		kv["USER_ID"], kv["USER_ANN_ID"] = r.Text("userid"), r.Text("userannid")
		return voice.TreatmentDeleteUserAnnouncement, kv, nil
	case "start":
		kv["APP_URI"] = r.Text("src")
		if id := r.Text("id"); id != "" {
			kv["APP_ID"] = id
		}
		return voice.TreatmentPlayApplication, kv, nil
	case Stop:
		return voice.TreatmentSilence, voice.KVList{}, nil
	}
	return voice.TreatmentUnknown, nil, nil
}

func sound(r *module.Request, kv voice.KVList) (voice.TreatmentType, voice.KVList, error) {
	t, ok := sounds[strings.ToLower(r.Text("type"))]
	if !ok {
		return 0, nil, module.Refuse(module.InvalidParameter, "type %q is no sound; want music, ringback, silence, busy or fastbusy", r.Text("type"))
	}
	if res := r.Text("resource"); res != "" && t == voice.TreatmentMusic {
		kv["MUSIC_DN"] = res
	}
	return t, kv, seconds(r.Args, "duration", "DURATION", kv)
}

// Continuous tells whether the treatment lasts until the next, so that there is no end to wait for.
func Continuous(t voice.TreatmentType, params voice.KVList) bool {
	switch t {
	case voice.TreatmentMusic, voice.TreatmentRingBack, voice.TreatmentSilence, voice.TreatmentBusy, voice.TreatmentFastBusy:
		n, _ := params.Int("DURATION")
		return n == 0
	}
	return false
}

// said makes PROMPT of prompts.
func said(r *module.Request, kv voice.KVList) error {
	list, _ := r.Args["prompts"].([]any)
	if len(list) == 0 {
		return module.Refuse(module.InvalidParameter, "<%s> says nothing: <prompts> is missing", r.Name())
	}
	out := voice.KVList{}
	for n, p := range list {
		prompt, _ := p.(map[string]any)
		entry := voice.KVList{}
		if module.Flag(prompt["interrupt"], false) {
			entry["INTERRUPTABLE"] = int64(1)
		}
		text := func(name string) string {
			if v, ok := prompt[name]; ok {
				return scxml.Text(v)
			}
			return ""
		}
		switch {
		case text("text") != "":
			entry["TEXT"] = text("text")
		case text("userannid") != "":
			entry["USER_ID"], entry["USER_ANN_ID"] = text("userid"), text("userannid")
		case text("number") != "":
			entry["DIGITS"] = text("number")
		case text("intid") != "":
			entry["ID"] = text("intid")
		case text("id") != "":
			entry["ID"] = text("id")
		default:
			return module.Refuse(module.InvalidParameter, "prompt %d has none of intid, number, userannid and text", n+1)
		}
		out[strconv.Itoa(n+1)] = entry
	}
	kv["PROMPT"] = out
	return nil
}

// digits copies what says how keys are collected.
func digits(args map[string]any, kv voice.KVList) error {
	for _, name := range digitAttrs {
		key := strings.ToUpper(name)
		switch v, ok := args[name]; {
		case !ok:
		case name == "clear_flag":
			if module.Flag(v, false) {
				kv[key] = int64(1)
			}
		case name == "max_digits":
			n, ok := module.Number(v, 0)
			if !ok || n < 0 || n != float64(int64(n)) {
				return module.Refuse(module.InvalidParameter, "max_digits %v is no number of keys", scxml.Text(v))
			}
			kv[key] = int64(n)
		case strings.HasSuffix(name, "timeout"):
			if err := seconds(args, name, key, kv); err != nil {
				return err
			}
		default:
			kv[key] = scxml.Text(v)
		}
	}
	return nil
}

// seconds copies a duration; treatments have whole seconds, so part of one is a second.
func seconds(args map[string]any, name, key string, kv voice.KVList) error {
	v, ok := args[name]
	if !ok {
		return nil
	}
	n, ok := module.Number(v, 0)
	if !ok || n < 0 || n > 24*3600 {
		return module.Refuse(module.InvalidParameter, "%s %v is no time in seconds up to a day", name, scxml.Text(v))
	}
	whole := int64(n)
	if float64(whole) < n {
		whole++
	}
	kv[key] = whole
	return nil
}

// Result is what EventTreatmentEnd tells the script; an error says that the treatment failed.
func Result(r *module.Request, e *voice.CallEvent) (map[string]any, error) {
	status := e.Extensions.Text("COMPLETION_STATUS")
	switch status {
	case "CANCELLED":
		return nil, module.Refuse(module.Cancelled, "another treatment took its place")
	case "FAILED":
		return nil, module.Refuse(module.Remote, "the treatment failed: %s", e.Extensions.Text("REASON"))
	}
	out := map[string]any{"status": strings.ToLower(status)}
	if cut := e.Extensions.Text("INTERRUPTED"); cut != "" {
		out["interrupted"] = strings.ToLower(cut)
	}
	switch r.Action {
	case "collect", "playandcollect":
		out["digits"], out["termdigit"] = e.CollectedDigits, e.LastCollectedDigit
	case "createann":
		id := e.Extensions.Text("USER_ANN_ID")
		if id == "" {
			return nil, module.Refuse(module.Cancelled, "nothing was recorded (%s)", fmt.Sprint(out["status"]))
		}
		out["userid"], out["userannid"] = e.Extensions.Text("USER_ID"), id
		if n, ok := e.Extensions.Int("LENGTH"); ok {
			out["length"] = float64(n)
		}
	}
	return out, nil
}
