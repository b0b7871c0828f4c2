package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/store"
	"parley/internal/voice"
)

// This file holds the versions of routing scripts. They are the history of the resource: nothing else is kept.

// maxComment bounds what is said of a version, in bytes.
const maxComment = 512

// Versions serves contract.ScriptVersions. A script that was deleted and made anew has the versions since then.
func (s *Service) Versions(ctx context.Context, req contract.ScriptVersionsRequest) (contract.ScriptVersionsResponse, error) {
	res := contract.ScriptVersionsResponse{Versions: []contract.ScriptVersion{}}
	limit := req.Limit
	switch {
	case limit < 0 || limit > maxHistory:
		return res, voice.Invalid(voice.FieldError{Field: "limit", Reason: "want 1 to 1000, or 0 for 100"})
	case limit == 0:
		limit = defaultPage
	}
	what := id{req.Tenant, voice.KindScript, req.Name}
	current, err := s.store.Get(ctx, req.Tenant, voice.KindScript, req.Name)
	if err != nil {
		return res, notThere(err, what)
	}
	err = s.eachVersion(ctx, what, func(v contract.ScriptVersion) bool {
		v.SCXML, v.Current = "", v.Version == current.Version
		res.Versions = append(res.Versions, v)
		return len(res.Versions) < limit
	})
	return res, err
}

// eachVersion walks the versions of a script, the newest first, until fn says that it has enough. Texts are up to a megabyte, so few
// changes are read at once.
func (s *Service) eachVersion(ctx context.Context, what id, fn func(contract.ScriptVersion) (more bool)) error {
	const atOnce = 10
	for before := int64(0); ; {
		changes, err := s.store.History(ctx, store.HistoryQuery{Tenant: what.tenant, Kind: what.kind, Key: what.key, Before: before, Limit: atOnce})
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Op == voice.OpDelete {
				return nil
			}
			var body voice.Script
			if err := json.Unmarshal(c.After, &body); err != nil {
				return fmt.Errorf("version %d of %s in the history: %w", c.Version, what, err)
			}
			v := contract.ScriptVersion{
				Name: what.key, Version: c.Version, Time: c.Time, User: c.User, Comment: body.Comment,
				Digest: textDigest(body.SCXML), Bytes: len(body.SCXML), SCXML: body.SCXML,
			}
			if !fn(v) || c.Op == voice.OpCreate {
				return nil
			}
			before = c.Seq
		}
		if len(changes) < atOnce {
			return nil
		}
	}
}

// textDigest is what the interpreter calls the digest of a document.
func textDigest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Text serves contract.ScriptText.
func (s *Service) Text(ctx context.Context, req contract.ScriptTextRequest) (contract.ScriptVersion, error) {
	what := id{req.Tenant, voice.KindScript, req.Name}
	current, err := s.store.Get(ctx, req.Tenant, voice.KindScript, req.Name)
	if err != nil {
		return contract.ScriptVersion{}, notThere(err, what)
	}
	want := req.Version
	if want == 0 {
		want = current.Version
	}
	var found contract.ScriptVersion
	err = s.eachVersion(ctx, what, func(v contract.ScriptVersion) bool {
		if v.Version == want {
			v.Current = v.Version == current.Version
			found = v
		}
		return v.Version > want
	})
	if err == nil && found.Version == 0 {
		err = voice.Errorf(voice.ErrNotFound, "%s has no version %d", what, want)
	}
	return found, err
}

// Rollback serves contract.ScriptRollback.
func (s *Service) Rollback(ctx context.Context, req contract.ScriptRollbackRequest) (voice.Resource, error) {
	return s.rollback(ctx, req, everything)
}

func (s *Service) rollback(ctx context.Context, req contract.ScriptRollbackRequest, may rights) (voice.Resource, error) {
	what := id{req.Tenant, voice.KindScript, req.Name}
	var current, to contract.ScriptVersion
	err := s.eachVersion(ctx, what, func(v contract.ScriptVersion) bool {
		if current.Version == 0 {
			current = v
		}
		if req.To == 0 && v.Digest != current.Digest || v.Version == req.To {
			to = v
		}
		return to.Version == 0
	})
	switch {
	case err != nil:
		return voice.Resource{}, err
	case current.Version == 0:
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "there is no %s", what)
	case to.Version == 0 && req.To == 0:
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "%s has no version with another text to go back to", what)
	case to.Version == 0:
		return voice.Resource{}, voice.Errorf(voice.ErrNotFound, "%s has no version %d", what, req.To)
	}
	if req.Comment == "" {
		req.Comment = fmt.Sprintf("back to version %d", to.Version)
	}
	body, err := json.Marshal(voice.Script{Name: req.Name, SCXML: to.SCXML, Comment: req.Comment})
	if err != nil {
		return voice.Resource{}, err
	}
	// Of that version only: somebody who publishes at the same moment is not undone unseen.
	return s.put(ctx, contract.ConfigPutRequest{Tenant: req.Tenant, Kind: voice.KindScript, Key: req.Name, Version: current.Version, Body: body, User: req.User}, may)
}

// RollbackInput is the body of a request to go back.
type RollbackInput struct {
	To      int64  `json:"to,omitempty" minimum:"0" doc:"Version whose text is published again; absent: the one with another text before the present one"`
	Comment string `json:"comment,omitempty" maxLength:"512" doc:"Why, for the list of versions"`
}

func (s *Service) registerScripts(api huma.API) {
	const base = apiBase + "/tenants/{tenant}/scripts/{key}"
	huma.Register(api, operation(voice.KindScript, "list-versions-of", http.MethodGet, base+"/versions", "List the versions of a script, the newest first"),
		func(ctx context.Context, in *struct {
			ResourcePath
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Versions at most"`
		}) (*struct {
			Body contract.ScriptVersionsResponse
		}, error) {
			if err := mayRead(ctx, in.id(voice.KindScript)); err != nil {
				return nil, err
			}
			res, err := s.Versions(ctx, contract.ScriptVersionsRequest{Tenant: in.Tenant, Name: in.Key, Limit: in.Limit})
			return &struct {
				Body contract.ScriptVersionsResponse
			}{res}, problem(err)
		})
	huma.Register(api, operation(voice.KindScript, "read-version-of", http.MethodGet, base+"/versions/{version}", "Read a version of a script with its text"),
		func(ctx context.Context, in *struct {
			ResourcePath
			Version int64 `path:"version" minimum:"1" doc:"Number of the version"`
		}) (*struct{ Body contract.ScriptVersion }, error) {
			if err := mayRead(ctx, in.id(voice.KindScript)); err != nil {
				return nil, err
			}
			v, err := s.Text(ctx, contract.ScriptTextRequest{Tenant: in.Tenant, ScriptRef: contract.ScriptRef{Name: in.Key, Version: in.Version}})
			return &struct{ Body contract.ScriptVersion }{v}, problem(err)
		})
	op := operation(voice.KindScript, "roll-back", http.MethodPost, base+"/rollback", "Publish an older version of a script again")
	op.Description = "The old text becomes a new version. Sessions that run keep the version they began with."
	huma.Register(api, op, func(ctx context.Context, in *struct {
		ResourcePath
		Body RollbackInput
	}) (*one[voice.Script], error) {
		if err := mayWrite(ctx, in.id(voice.KindScript)); err != nil {
			return nil, err
		}
		r, err := s.rollback(ctx, contract.ScriptRollbackRequest{
			Tenant: in.Tenant, Name: in.Key, To: in.Body.To, Comment: in.Body.Comment, User: author(ctx, in.Tenant),
		}, rightsOf(httpapi.PrincipalFrom(ctx)))
		if err != nil {
			return nil, httpapi.Problem(err)
		}
		return answer[voice.Script](r, http.StatusOK, nil)
	})
}

// problem is an error as REST tells it, nil for none.
func problem(err error) error {
	if err == nil {
		return nil
	}
	return httpapi.Problem(err)
}
