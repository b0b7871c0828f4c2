package script

import (
	"math"
	"slices"
	"time"

	"parley/services/orchestration/module"
)

// find is the answer of the scenario that a request gets.
func (r *run) find(q *module.Request, args map[string]any) *Answer {
	var last *Answer
	for i := range r.sc.Answers {
		a := &r.sc.Answers[i]
		if a.Request != q.Name() || len(differences(plainValue(a.If), args, "")) > 0 {
			continue
		}
		if last = a; !a.used {
			a.used = true
			break
		}
	}
	return last
}

func (r *run) answer(q *module.Request, a *Answer) error {
	switch {
	case a.Nothing:
		return nil
	case a.Error != "":
		why := a.Description
		if why == "" {
			why = "so says the scenario"
		}
		r.fail(q, a.After, module.Refuse(a.Error, "%s", why))
		return nil
	}
	data, _ := plainValue(a.Done).(map[string]any)
	r.done(q, a.After, data)
	return nil
}

func (r *run) done(q *module.Request, after time.Duration, data map[string]any) {
	r.later(after, q, func() error {
		if err := r.s.Post(q.Done(data)); err != nil {
			return err
		}
		return r.effect(q)
	})
}

func (r *run) fail(q *module.Request, after time.Duration, why error) {
	r.later(after, q, func() error { return r.s.Post(q.Failed(why)) })
}

// effect is what a request changes when it is done.
func (r *run) effect(q *module.Request) error {
	switch q.Name() {
	case "interaction.redirect", "interaction.terminate", "interaction.transfer", "interaction.singlesteptransfer", "interaction.detach":
		return r.leave()
	case "queue.submit":
		if q.Flag("route", true) {
			return r.leave()
		}
	case "interaction.setuserdata", "interaction.udata", "interaction.attachuserdata":
		changes, _ := q.Args["udata"].(map[string]any)
		if key := q.Text("key"); key != "" {
			changes = map[string]any{key: q.Args["value"]}
		}
		if len(r.ixns) > 0 && len(changes) > 0 {
			next := *r.ixns[0]
			next.UserData = merged(next.UserData, changes)
			r.ixns = []*module.Interaction{&next}
			return r.post("interaction.udata.changed", map[string]any{"interactionid": next.ID})
		}
	}
	return nil
}

// begun is that a treatment takes the place of the one before, which is not heard of again.
func (r *run) begun(q *module.Request) {
	if q.Module != "dialog" || q.Action == "setdefaultdestination" || q.Action == "deleteann" {
		return
	}
	r.queue = slices.DeleteFunc(r.queue, func(d due) bool {
		return d.of != nil && d.of.Module == "dialog" && d.of.Interaction == q.Interaction && d.at.After(r.now)
	})
}

// spoken is how long an announcement takes where nobody says.
const spoken = 3 * time.Second

// usual answers a request that the scenario says nothing of: what is played is played to its end, nobody presses a key, nobody
// is free, whoever is sent on arrives, and the web does not answer.
func (r *run) usual(q *module.Request) error {
	switch q.Name() {
	case "dialog.playsound":
		r.done(q, seconds(q, 0, "duration"), nil)
	case "dialog.play", "dialog.createann":
		var data map[string]any
		if q.Action == "createann" {
			data = map[string]any{"userid": q.Text("userid"), "userannid": "1"}
		}
		r.done(q, seconds(q, spoken, "duration"), data)
	case "dialog.collect", "dialog.playandcollect":
		r.done(q, seconds(q, 10*time.Second, "start_timeout", "total_timeout"), map[string]any{"digits": ""})
	case "dialog.start":
		r.fail(q, 0, module.Refuse(module.Unsupported, "no VoiceXML is played in a run"))
	case "queue.submit":
		r.later(0, q, func() error { return r.s.Post(q.Accepted()) })
		if wait := seconds(q, 0, "timeout"); wait > 0 {
			r.fail(q, wait, module.Refuse(module.Timeout, "timeout: nobody was found within %v", wait))
		}
	case "queue.cancel":
		r.queue = slices.DeleteFunc(r.queue, func(d due) bool { return d.of != nil && d.of.Name() == "queue.submit" })
		r.done(q, 0, nil)
	case "queue.query":
		r.done(q, 0, map[string]any{"position": 1.0})
	case "session.fetch", "ws.request":
		r.fail(q, 0, module.Refuse(module.Remote, "a run asks no web; give an answer to %s", q.Name()))
	case "session.start":
		r.done(q, 0, map[string]any{"sessionid": "STARTED"})
	default:
		r.done(q, 0, nil)
	}
	return nil
}

// seconds is the first of the arguments that is given, as a time.
func seconds(q *module.Request, otherwise time.Duration, names ...string) time.Duration {
	for _, name := range names {
		if n, ok := q.Number(name, math.NaN()); ok && n >= 0 && n <= 1e9 {
			return time.Duration(n * float64(time.Second))
		}
	}
	return otherwise
}
