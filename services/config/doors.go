package config

import (
	"context"
	"errors"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/store"
	"parley/internal/voice"
)

const (
	defaultPage = 100
	maxMatch    = 128     // bytes of a match
	maxPageSize = 3 << 20 // bytes of bodies on a page; a message of the fabric takes 8 MiB
	maxHistory  = 1000
)

// open serves the doors until ctx ends; stop waits for requests in progress.
func (s *Service) open(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	add := func(one func(), oneErr error) {
		if oneErr != nil {
			err = errors.Join(err, oneErr)
			return
		}
		stops = append(stops, one)
	}
	add(fabric.Handle(ctx, s.fabric, contract.ConfigGet, s.Get))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigList, s.List))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigPut, s.Put))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigDelete, s.Delete))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigHistory, s.History))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigApply, s.Apply))
	add(fabric.Handle(ctx, s.fabric, contract.ConfigExport, s.Export))
	add(fabric.Handle(ctx, s.fabric, contract.ScriptVersions, s.Versions))
	add(fabric.Handle(ctx, s.fabric, contract.ScriptText, s.Text))
	add(fabric.Handle(ctx, s.fabric, contract.ScriptRollback, s.Rollback))
	add(fabric.Handle(ctx, s.fabric, contract.ClusterSecret, s.ClusterSecret))
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// ClusterSecret serves contract.ClusterSecret.
func (s *Service) ClusterSecret(ctx context.Context, name string) ([]byte, error) {
	if !namePattern.MatchString(name) {
		return nil, voice.Invalid(voice.FieldError{Field: "name", Reason: "is not the name of a secret"})
	}
	return s.store.Secret(ctx, name)
}

// Get serves contract.ConfigGet.
func (s *Service) Get(ctx context.Context, req contract.ConfigKey) (r voice.Resource, err error) {
	defer func() { s.metrics.answered(req.Tenant, req.Kind, "get", err) }()
	k, err := s.kinds.find(req.Kind)
	if err != nil {
		return r, err
	}
	r, err = s.store.Get(ctx, req.Tenant, req.Kind, req.Key)
	if err != nil {
		return r, notThere(err, id{req.Tenant, req.Kind, req.Key})
	}
	if req.Secrets {
		return r, nil
	}
	return withoutSecrets(k, r)
}

// notThere gives voice.ErrNotFound its sentence.
func notThere(err error, what id) error {
	if errors.Is(err, voice.ErrNotFound) {
		return voice.Errorf(voice.ErrNotFound, "there is no %s", what)
	}
	return err
}

// List serves contract.ConfigList.
func (s *Service) List(ctx context.Context, req contract.ConfigListRequest) (res contract.ConfigListResponse, err error) {
	defer func() { s.metrics.answered(req.Tenant, req.Kind, "list", err) }()
	k, err := s.kinds.find(req.Kind)
	if err != nil {
		return res, err
	}
	switch {
	case req.Limit < 0 || req.Limit > store.MaxPage:
		return res, voice.Invalid(voice.FieldError{Field: "limit", Reason: "want 1 to 10000, or 0 for 100"})
	case len(req.Match) > maxMatch:
		return res, voice.Invalid(voice.FieldError{Field: "match", Reason: "want at most 128 bytes"})
	case req.Limit == 0:
		req.Limit = defaultPage
	}
	page, err := s.store.List(ctx, store.ListQuery{
		Tenant: req.Tenant, Kind: req.Kind, Match: req.Match, Type: req.Type, After: req.After, Limit: req.Limit,
	})
	if err != nil {
		return res, err
	}
	res = contract.ConfigListResponse{Resources: page.Resources, Next: page.Next, Total: page.Total}
	if res.Resources == nil {
		res.Resources = []voice.Resource{}
	}
	size := 0
	for i := range res.Resources {
		r := &res.Resources[i]
		if size += len(r.Body); size > maxPageSize && i > 0 {
			res.Resources, res.Next = res.Resources[:i], after(req.Tenant, res.Resources[i-1])
			break
		}
		if !req.Secrets {
			if *r, err = withoutSecrets(k, *r); err != nil {
				return res, err
			}
		}
	}
	return res, nil
}

// after is where a list resumes behind r.
func after(tenant string, r voice.Resource) string {
	if tenant == "" {
		return r.Tenant + "/" + r.Key
	}
	return r.Key
}

// Put serves contract.ConfigPut.
func (s *Service) Put(ctx context.Context, req contract.ConfigPutRequest) (voice.Resource, error) {
	return s.put(ctx, req, everything)
}

func (s *Service) put(ctx context.Context, req contract.ConfigPutRequest, may rights) (r voice.Resource, err error) {
	defer func() { s.metrics.answered(req.Tenant, req.Kind, "put", err) }()
	k, err := s.kinds.find(req.Kind)
	if err != nil {
		return r, err
	}
	if (req.Kind == voice.KindTenant) != (req.Tenant == voice.SystemTenant) {
		return r, voice.Invalid(voice.FieldError{Field: "tenant", Reason: "tenants, and nothing else, belong to " + voice.SystemTenant})
	}
	var target *want
	changes, _, err := s.write(ctx, req.User, may, false, func(_ context.Context, p *planner) error {
		body, err := decodeBody(k, req.Body)
		if err != nil {
			return err
		}
		switch key := k.key(body); {
		case *key == "":
			*key = req.Key
		case *key != req.Key:
			return voice.Invalid(voice.FieldError{Field: k.keyField, Reason: "differs from the key of the request; a resource cannot be renamed"})
		}
		target = &want{id: id{req.Tenant, req.Kind, req.Key}, kind: k, body: body, version: req.Version, place: inRequest{}}
		if k.name == voice.KindTenant {
			target.fill = keepRealm
		}
		p.add(target)
		return nil
	})
	if err != nil {
		return r, err
	}
	for _, c := range changes {
		if c.w == target {
			return withoutSecrets(k, c.mutation.Resource)
		}
	}
	return withoutSecrets(k, *target.existing) // nothing to change
}

// keepRealm lets a tenant that names no realm keep its own.
func keepRealm(body, existing any) {
	t := body.(*voice.Tenant)
	if old, ok := existing.(*voice.Tenant); ok && t.Realm == "" {
		t.Realm = old.Realm
	}
}

// Delete serves contract.ConfigDelete.
func (s *Service) Delete(ctx context.Context, req contract.ConfigDeleteRequest) (struct{}, error) {
	return struct{}{}, s.delete(ctx, req, everything)
}

func (s *Service) delete(ctx context.Context, req contract.ConfigDeleteRequest, may rights) (err error) {
	defer func() { s.metrics.answered(req.Tenant, req.Kind, "delete", err) }()
	k, err := s.kinds.find(req.Kind)
	if err != nil {
		return err
	}
	if req.Version == 0 {
		return voice.Invalid(voice.FieldError{Field: "version", Reason: "want the version to delete, or -1 for whatever there is"})
	}
	_, _, err = s.write(ctx, req.User, may, false, func(_ context.Context, p *planner) error {
		p.add(&want{id: id{req.Tenant, req.Kind, req.Key}, kind: k, version: req.Version, place: inRequest{}})
		return nil
	})
	return err
}

// History serves contract.ConfigHistory. Tenant "" means all.
func (s *Service) History(ctx context.Context, req contract.ConfigHistoryRequest) (res contract.ConfigHistoryResponse, err error) {
	defer func() { s.metrics.answered(req.Tenant, req.Kind, "history", err) }()
	switch {
	case req.Limit < 0 || req.Limit > maxHistory:
		return res, voice.Invalid(voice.FieldError{Field: "limit", Reason: "want 1 to 1000, or 0 for 100"})
	case req.Limit == 0:
		req.Limit = defaultPage
	}
	changes, err := s.store.History(ctx, store.HistoryQuery{Tenant: req.Tenant, Kind: req.Kind, Key: req.Key, Before: req.Before, Limit: req.Limit + 1})
	if err != nil {
		return res, err
	}
	res.Changes = []contract.ConfigChange{}
	size := 0
	for i, c := range changes {
		size += len(c.Before) + len(c.After)
		if i == req.Limit || i > 0 && size > maxPageSize {
			res.Next = changes[i-1].Seq
			break
		}
		res.Changes = append(res.Changes, contract.ConfigChange{ConfigChanged: c.ConfigChanged, Before: c.Before, After: c.After})
	}
	return res, nil
}
