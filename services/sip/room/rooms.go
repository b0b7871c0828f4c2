package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/contract"
	"parley/internal/media/audio"
	"parley/internal/media/mix"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/voice"
)

// Voice is what a room wants of the audio of a party; the leg of a call is one.
type Voice interface {
	// Play has the party hear a source; Listen has a sink take what it says. The functions they return end that.
	Play(src audio.Source, done func(error)) (stop func())
	Listen(to audio.Sink) (stop func())
}

// Options are what rooms need.
type Options struct {
	Node       string
	Prompts    *prompt.Library
	Recordings string           // directory; "" = nothing is recorded
	Failed     func(why string) // is told of recordings that came to nothing; nil = nobody wants to know
	MaxRooms   int              // 0 = 1,000
	Registry   prometheus.Registerer
	Log        *slog.Logger
}

// Rooms are the conferences of a node.
type Rooms struct {
	o      Options
	m      *metrics
	ctx    context.Context // of recordings
	cancel context.CancelFunc
	tasks  sync.WaitGroup // recordings

	mu    sync.Mutex
	rooms map[key]*room
	calls map[string]*participant // by Entry.ID
}

type key struct{ tenant, name string }

// room is one conference. The lock of Rooms guards it, but for what the mixer does.
type room struct {
	key
	mixer     *mix.Mixer
	start     time.Time
	people    []*participant // in the order in which they came
	music     *mix.Port      // while somebody is alone; nil otherwise
	recording *recording     // nil while there is none
	clips     clips
}

// clips are what a room says by itself.
type clips struct{ music, came, went, recorded, ended *play.Clip }

type participant struct {
	Entry
	room  *room
	port  *mix.Port
	since time.Time
	stop  []func() // listening and playing
}

// Entry is a party of a call that enters a room.
type Entry struct {
	Tenant, Room string
	ID           string // names the participant: the CallUUID for the caller, contract.CalleeOf it for the callee
	CallUUID     string
	Number       string // of the party
	Language     string // of what is said in a room that begins with this call
	Role         contract.ConferenceRole
	Of           string // participant whom a coach coaches
	Muted, Deaf  bool
	Gain         float64
	Quiet        bool
	Voice        Voice
	Rate         int // of the sound that suits the call; 0 is audio.Narrow
}

const defaultMaxRooms = 1000

// New makes an empty house. Close ends what it begins.
func New(o Options) *Rooms {
	o.MaxRooms = cmp.Or(o.MaxRooms, defaultMaxRooms)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Failed == nil {
		o.Failed = func(string) {}
	}
	r := &Rooms{o: o, rooms: map[key]*room{}, calls: map[string]*participant{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.m = newMetrics(r, o.Registry)
	return r
}

// Close sends everybody away and waits until recordings are on disk.
func (r *Rooms) Close() {
	r.mu.Lock()
	for _, p := range r.calls {
		r.leaveLocked(p)
	}
	r.mu.Unlock()
	r.cancel()
	r.tasks.Wait()
}

var roomName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// Enter puts a call into a room. It may read clips from the disk.
func (r *Rooms) Enter(e Entry, now time.Time) error {
	if !roomName.MatchString(e.Room) {
		return voice.Errorf(voice.ErrInvalid, "room %.70q: want 1 to 64 letters, digits, . _ or -", e.Room)
	}
	role := cmp.Or(e.Role, contract.RoleTalker)
	clips, err := r.load(e.Tenant, e.Language)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.calls[e.ID]; p != nil {
		return voice.Errorf(voice.ErrConflict, "call %.64s is in room %s already; take it out first", e.CallUUID, p.Room)
	}
	rm := r.rooms[key{e.Tenant, e.Room}]
	if rm == nil {
		if len(r.rooms) >= r.o.MaxRooms {
			return voice.Errorf(voice.ErrOverloaded, "this node has %d rooms already", len(r.rooms))
		}
		rm = &room{key: key{e.Tenant, e.Room}, mixer: mix.New(0), start: now, clips: clips}
	}
	p := &participant{Entry: e, room: rm, since: now}
	if p.port, err = rm.mixer.Join(e.ID, cmp.Or(e.Rate, audio.Narrow)); err != nil {
		return voice.Errorf(voice.ErrOverloaded, "room %s: %v", e.Room, err)
	}
	if err := r.setLocked(p, role, e.Of); err != nil {
		p.port.Leave()
		return err
	}
	p.port.SetMute(e.Muted)
	p.port.SetDeaf(e.Deaf)
	p.port.SetGain(e.Gain)
	r.rooms[rm.key], r.calls[e.ID] = rm, p
	rm.people = append(rm.people, p)
	r.m.entered.Inc()
	p.stop = []func(){e.Voice.Listen(p.port.Sink()), e.Voice.Play(p.port.Source(), nil)}
	r.changedLocked(rm, p, rm.clips.came)
	return nil
}

// load finds what a room says by itself.
func (r *Rooms) load(tenant, language string) (clips, error) {
	found, err := r.o.Prompts.Clips(tenant, language, prompt.OnHold, "recording/started", "recording/stopped")
	if err != nil {
		return clips{}, voice.Errorf(voice.ErrUnavailable, "a prompt that a room needs: %v", err)
	}
	return clips{music: found[0], recorded: found[1], ended: found[2],
		came: play.Beep(audio.Narrow, 150*time.Millisecond), went: play.Beep(audio.Narrow, 60*time.Millisecond)}, nil
}

// setLocked gives a participant a role.
func (r *Rooms) setLocked(p *participant, role contract.ConferenceRole, of string) error {
	var coached *mix.Port
	switch role {
	case contract.RoleTalker, contract.RoleObserver:
		of = ""
	case contract.RoleCoach:
		other := r.calls[of]
		if other == nil || other.room != p.room {
			return voice.Errorf(voice.ErrInvalid, "of: %.80q is not in room %s; a coach needs somebody who is", of, p.Room)
		}
		coached = other.port
	default:
		return voice.Errorf(voice.ErrInvalid, "role %.20q: want talker, observer or coach", string(role))
	}
	if err := p.port.SetRole(mix.Role(role), coached); err != nil {
		return voice.Errorf(voice.ErrInvalid, "%v", err)
	}
	p.Role, p.Of = role, of
	return nil
}

// changedLocked follows from who is in a room now: music for one who is alone, a tone for the others.
func (r *Rooms) changedLocked(rm *room, who *participant, tone *play.Clip) {
	talkers := 0
	for _, p := range rm.people {
		if p.Role == contract.RoleTalker {
			talkers++
		}
	}
	switch alone := talkers == 1; {
	case alone && rm.music == nil:
		music, err := rm.mixer.Announce("music", play.New(rm.clips.music).Loop(play.Forever), nil)
		if err == nil { // a full room has no place for music either
			rm.music = music
		}
	case !alone && rm.music != nil:
		rm.music.Leave()
		rm.music = nil
	}
	if who.Role == contract.RoleTalker && !who.Quiet && talkers > 1 {
		r.sayLocked(rm, tone)
	}
}

// sayLocked has a room hear a clip. Without a place for it, it is not heard.
func (r *Rooms) sayLocked(rm *room, clip *play.Clip) {
	if _, err := rm.mixer.Announce("announcement", play.New(clip), nil); err != nil && !errors.Is(err, mix.ErrFull) {
		r.o.Log.Error("announcement in a room", slog.String("room", rm.name), slog.String("tenant", rm.tenant), slog.Any("err", err))
	}
}

// Leave takes a call out of its room, all its parties, and says whether it was in one.
func (r *Rooms) Leave(callUUID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := false
	for _, id := range []string{callUUID, contract.CalleeOf(callUUID)} {
		if p := r.calls[id]; p != nil {
			r.leaveLocked(p)
			was = true
		}
	}
	return was
}

func (r *Rooms) leaveLocked(p *participant) {
	for _, stop := range p.stop {
		stop()
	}
	p.port.Leave()
	delete(r.calls, p.ID)
	rm := p.room
	rm.people = slices.DeleteFunc(rm.people, func(q *participant) bool { return q == p })
	for _, q := range rm.people {
		if q.Role == contract.RoleCoach && q.Of == p.ID {
			q.Of = "" // whom nobody hears now
		}
	}
	if len(rm.people) > 0 {
		r.changedLocked(rm, p, rm.clips.went)
		return
	}
	if rm.recording != nil {
		rm.recording.Stop()
	}
	rm.mixer.Close()
	delete(r.rooms, rm.key)
}

// Change sets what a request says.
func (r *Rooms) Change(req contract.ChangeConferenceRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.inLocked(req.Tenant, req.Participant)
	if err != nil {
		return err
	}
	if req.Role != "" {
		if err := r.setLocked(p, req.Role, req.Of); err != nil {
			return err
		}
		r.changedLocked(p.room, &participant{Entry: Entry{Quiet: true}}, nil)
	}
	if req.Muted != nil {
		p.port.SetMute(*req.Muted)
	}
	if req.Deaf != nil {
		p.port.SetDeaf(*req.Deaf)
	}
	if req.Gain != nil {
		p.port.SetGain(*req.Gain)
	}
	return nil
}

// inLocked is somebody who is in a room.
func (r *Rooms) inLocked(tenant, id string) (*participant, error) {
	p := r.calls[id]
	if p == nil || p.Tenant != tenant {
		return nil, voice.Errorf(voice.ErrNotFound, "%.80s is in no room of this node", id)
	}
	return p, nil
}

// Hear sets a cell of who hears whom.
func (r *Rooms) Hear(req contract.HearConferenceRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	listener, err := r.inLocked(req.Tenant, req.Listener)
	if err != nil {
		return err
	}
	speaker, err := r.inLocked(req.Tenant, req.Speaker)
	if err != nil {
		return err
	}
	if listener.room != speaker.room {
		return voice.Errorf(voice.ErrInvalid, "%.80s and %.80s are in different rooms", req.Listener, req.Speaker)
	}
	return listener.room.mixer.Hear(listener.port.ID(), speaker.port.ID(), req.Hears)
}

// List shows rooms by tenant and name.
func (r *Rooms) List(req contract.ConferencesRequest) []contract.Conference {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []contract.Conference{}
	for _, rm := range r.rooms {
		if (req.Tenant == "" || req.Tenant == rm.tenant) && (req.Room == "" || req.Room == rm.name) {
			out = append(out, r.showLocked(rm))
		}
	}
	slices.SortFunc(out, func(a, b contract.Conference) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Room, b.Room))
	})
	return out
}

func (r *Rooms) showLocked(rm *room) contract.Conference {
	c := contract.Conference{Tenant: rm.tenant, Room: rm.name, Node: r.o.Node, Start: rm.start.UTC(), Participants: []contract.Participant{}}
	if rm.recording != nil {
		c.Recording = rm.recording.path
	}
	ports, matrix := map[mix.ID]mix.Participant{}, rm.mixer.Matrix()
	for _, p := range rm.mixer.Participants() {
		ports[p.ID] = p
	}
	for _, p := range rm.people {
		port := ports[p.port.ID()]
		shown := contract.Participant{ID: p.ID, CallUUID: p.CallUUID, Number: p.Number, Role: p.Role, Of: p.Of, Since: p.since.UTC(),
			Muted: port.Muted, Deaf: port.Deaf, Gain: port.Gain, Level: port.Level, Hears: []string{}}
		for _, id := range matrix[p.port.ID()] {
			if r.calls[ports[id].Name] != nil { // music and announcements are no calls
				shown.Hears = append(shown.Hears, ports[id].Name)
			}
		}
		c.Participants = append(c.Participants, shown)
	}
	return c
}

var errNoRecordings = fmt.Errorf("this node has no directory for recordings (media.recordings)")
