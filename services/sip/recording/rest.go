package recording

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/httpapi"
	"parley/internal/voice"
)

// The shapes of the REST interface.
type (
	listInput struct {
		Tenant string    `path:"tenant" maxLength:"128"`
		Call   string    `query:"call" maxLength:"64" doc:"UUID or thread of the call"`
		DN     string    `query:"dn" maxLength:"128" doc:"The whole number of somebody who was recorded"`
		From   time.Time `query:"from" doc:"Recordings that began then or later (RFC 3339)"`
		Until  time.Time `query:"until" doc:"Recordings that began before (RFC 3339)"`
		After  string    `query:"after" maxLength:"96" doc:"The next of the page before"`
		Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	oneInput struct {
		Tenant string `path:"tenant" maxLength:"128"`
		ID     string `path:"id" maxLength:"96"`
	}
	listOutput struct{ Body List }
	oneOutput  struct{ Body Entry }
)

// List is a page of recordings, newest first.
type List struct {
	Recordings []Entry `json:"recordings" nullable:"false"`
	Next       string  `json:"next,omitempty" doc:"The after of the next page; absent on the last one"`
}

// maxRead is how many ledgers are read for a page; a search that finds few goes on with the next one.
const maxRead = 5000

// Routes adds the operations to a REST interface: supervisors and administrators list and hear what was recorded on this
// node, administrators delete. An agent gets nothing, his own calls included.
func (r *Recordings) Routes(api huma.API) {
	const base = "/api/v1/tenants/{tenant}/recordings"
	operation := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"recordings"}}
	}
	huma.Register(api, operation("list-recordings", http.MethodGet, base, "Recordings of calls on this node, newest first"), r.listREST)
	huma.Register(api, operation("get-recording", http.MethodGet, base+"/{id}", "The ledger of a recording"), r.getREST)
	audio := operation("get-recording-audio", http.MethodGet, base+"/{id}/audio", "A recording as WAV: the caller left, the other end right")
	audio.Responses = map[string]*huma.Response{"200": {
		Description: "OK", Content: map[string]*huma.MediaType{"audio/wav": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	huma.Register(api, audio, r.audioREST)
	del := operation("delete-recording", http.MethodDelete, base+"/{id}", "Delete a recording and its ledger")
	del.DefaultStatus = http.StatusNoContent
	huma.Register(api, del, r.deleteREST)
}

var errForbidden = voice.Errorf(voice.ErrForbidden, "your roles do not allow this")

func (r *Recordings) listREST(ctx context.Context, in *listInput) (*listOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return nil, httpapi.Problem(errForbidden)
	}
	list, err := r.list(ctx, in)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &listOutput{list}, nil
}

// list reads a page.
func (r *Recordings) list(ctx context.Context, in *listInput) (List, error) {
	out := List{Recordings: []Entry{}}
	dir := filepath.Join(r.o.Dir, tenantFolder(in.Tenant))
	if r.o.Dir == "" {
		return out, nil
	}
	dates, err := folders(dir)
	if err != nil {
		return out, fmt.Errorf("the recordings cannot be listed: %w", err)
	}
	read := 0
	for _, date := range slices.Backward(dates) {
		day, err := time.Parse(dateForm, date)
		if err != nil || !in.Until.IsZero() && !day.Before(in.Until) || !in.From.IsZero() && day.AddDate(0, 0, 1).Before(in.From) {
			continue
		}
		var found []stored
		if err := walkDate(ctx, filepath.Join(dir, date), func(s *stored) { found = append(found, *s) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, err
		}
		for _, s := range slices.Backward(found) {
			if !in.wants(&s) {
				continue
			}
			if read++; read > maxRead || len(out.Recordings) == in.Limit {
				return out, nil
			}
			out.Next = s.id()
			if e, err := r.entry(s.path); err == nil && in.fits(e) { // an unreadable one must not hide the others
				out.Recordings = append(out.Recordings, *e)
			}
		}
	}
	out.Next = ""
	return out, nil
}

// wants tells from its name whether a recording is to be read.
func (in *listInput) wants(s *stored) bool {
	return (in.After == "" || s.id() < in.After) && (in.From.IsZero() || !s.begun.Before(in.From)) && (in.Until.IsZero() || s.begun.Before(in.Until))
}

// fits tells whether it is one that was asked for.
func (in *listInput) fits(e *Entry) bool {
	return (in.Call == "" || in.Call == e.Of.CallUUID || in.Call == e.Of.ThreadID) && (in.DN == "" || slices.Contains(e.Left, in.DN) || slices.Contains(e.Right, in.DN))
}

// entry is a ledger, that of a running tape as it is now.
func (r *Recordings) entry(path string) (*Entry, error) {
	if t := r.running(filepath.Base(path)); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		e := t.copyLocked()
		return &e, nil
	}
	return readEntry(path)
}

// find is the path of a recording that there is, without ending.
func (r *Recordings) find(in *oneInput) (string, *Entry, error) {
	none := voice.Errorf(voice.ErrNotFound, "this node has no recording %.96s", in.ID)
	path := inStore(in.Tenant, in.ID)
	if path == "" || r.o.Dir == "" {
		return "", nil, none
	}
	path = filepath.Join(r.o.Dir, path)
	e, err := r.entry(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && e.Of.Tenant != in.Tenant {
		return "", nil, none
	}
	return path, e, err
}

func (r *Recordings) getREST(ctx context.Context, in *oneInput) (*oneOutput, error) {
	if !httpapi.PrincipalFrom(ctx).MayRead(in.Tenant) {
		return nil, httpapi.Problem(errForbidden)
	}
	_, e, err := r.find(in)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	return &oneOutput{*e}, nil
}

func (r *Recordings) audioREST(ctx context.Context, in *oneInput) (*huma.StreamResponse, error) {
	who := httpapi.PrincipalFrom(ctx)
	if !who.MayRead(in.Tenant) {
		return nil, httpapi.Problem(errForbidden)
	}
	path, _, err := r.find(in)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	f, err := os.Open(path + soundEnding) // closed by the server, behind the last byte
	if errors.Is(err, fs.ErrNotExist) {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrNotFound, "recording %.96s has no sound; its ledger says why", in.ID))
	}
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	r.o.Log.Info("a recording is heard", "tenant", in.Tenant, "id", in.ID, "user", who.User)
	return httpapi.Stream(f, "Content-Type", "audio/wav", "Content-Disposition", fmt.Sprintf("inline; filename=%q", in.ID+soundEnding)), nil
}

func (r *Recordings) deleteREST(ctx context.Context, in *oneInput) (*struct{}, error) {
	who := httpapi.PrincipalFrom(ctx)
	if !who.MayWrite(in.Tenant) {
		return nil, httpapi.Problem(errForbidden)
	}
	path, e, err := r.find(in)
	if err != nil {
		return nil, httpapi.Problem(err)
	}
	if e.State != StateStopped {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrConflict, "recording %.96s goes on; stop it first", in.ID))
	}
	if !r.remove(path, "request") {
		return nil, httpapi.Problem(voice.Errorf(voice.ErrUnavailable, "recording %.96s cannot be deleted; the log says why", in.ID))
	}
	r.o.Log.Info("a recording was deleted", "tenant", in.Tenant, "id", in.ID, "user", who.User, "sha256", strings.ToLower(e.SHA256))
	return nil, nil
}
