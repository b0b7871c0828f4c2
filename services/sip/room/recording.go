package room

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"parley/internal/contract"
	"parley/internal/media/mix"
	"parley/internal/media/record"
	"parley/internal/voice"
)

// recording is that of a room.
type recording struct {
	*record.Recorder
	path string
	port *mix.Port
}

// Record begins or ends the recording of a room, and names its file.
func (r *Rooms) Record(req contract.RecordConferenceRequest, now time.Time) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rm := r.rooms[key{req.Tenant, req.Room}]
	switch {
	case rm == nil:
		return "", voice.Errorf(voice.ErrNotFound, "this node has no room %.70q", req.Room)
	case r.o.Recordings == "":
		return "", voice.Errorf(voice.ErrUnavailable, "%v", errNoRecordings)
	case req.On && rm.recording != nil, !req.On && rm.recording == nil:
		return r.pathLocked(rm), nil // as it is wanted already
	case !req.On:
		path := rm.recording.path
		rm.recording.Stop()
		rm.recording = nil
		r.sayLocked(rm, rm.clips.ended)
		return path, nil
	}
	rec, err := r.beginLocked(rm, now)
	if err != nil {
		return "", err
	}
	rm.recording = rec
	r.sayLocked(rm, rm.clips.recorded)
	return rec.path, nil
}

func (r *Rooms) pathLocked(rm *room) string {
	if rm.recording == nil {
		return ""
	}
	return rm.recording.path
}

// beginLocked makes the file, <recordings>/<tenant>/conference/<room>-<time>.wav, and has it written.
func (r *Rooms) beginLocked(rm *room, now time.Time) (*recording, error) {
	dir := filepath.Join(r.o.Recordings, tenantDir(rm.tenant), "conference")
	fail := func(err error) (*recording, error) {
		r.o.Failed(fmt.Sprintf("room %s cannot be recorded", rm.name))
		r.o.Log.Error("a recording cannot begin", slog.String("room", rm.name), slog.String("tenant", rm.tenant), slog.Any("err", err))
		return nil, voice.Errorf(voice.ErrUnavailable, "room %s cannot be recorded: %v", rm.name, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fail(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-%s.wav", rm.name, now.UTC().Format("20060102T150405.000Z")))
	rec, err := record.New(record.Config{Path: path})
	if err != nil {
		return fail(err)
	}
	out := &recording{Recorder: rec, path: path}
	r.tasks.Go(func() { r.write(rm, out) })
	if out.port, err = rm.mixer.Tap("recorder", rec.Left()); err != nil {
		rec.Stop()
		return fail(err)
	}
	return out, nil
}

// tenantDir is the name of a tenant as that of a directory.
func tenantDir(tenant string) string {
	if roomName.MatchString(tenant) {
		return tenant
	}
	return fmt.Sprintf("%%%x", tenant)
}

// write runs a recording to its end.
func (r *Rooms) write(rm *room, rec *recording) {
	res := rec.Run(r.ctx)
	r.mu.Lock()
	if rm.recording == rec {
		rm.recording = nil
	}
	if rec.port != nil {
		rec.port.Leave()
	}
	r.mu.Unlock()
	attrs := []slog.Attr{slog.String("room", rm.name), slog.String("tenant", rm.tenant), slog.String("file", res.Path), slog.String("reason", string(res.Reason)),
		slog.Duration("duration", res.Duration), slog.Int64("bytes", res.Bytes), slog.String("sha256", res.SHA256), slog.Duration("lost", res.Lost)}
	if res.Err != nil {
		r.o.Failed(fmt.Sprintf("the recording of room %s is not whole", rm.name))
		r.o.Log.LogAttrs(r.ctx, slog.LevelError, "recording failed", append(attrs, slog.Any("err", res.Err))...)
		return
	}
	r.m.recorded.Add(res.Duration.Seconds())
	r.o.Log.LogAttrs(r.ctx, slog.LevelInfo, "recorded", attrs...)
}
