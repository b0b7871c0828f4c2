package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/voice"
)

// maxSwitch is how many tenants the switch in the navigation offers.
const maxSwitch = 200

// get reads one resource.
func (r *request) get(tenant string, kind voice.Kind, key string) (voice.Resource, error) {
	return fabric.Call(r.ctx, r.f, contract.ConfigGet, contract.ConfigKey{Tenant: tenant, Kind: kind, Key: key})
}

// read is get with the body decoded into into.
func (r *request) read(tenant string, kind voice.Kind, key string, into any) (voice.Resource, error) {
	res, err := r.get(tenant, kind, key)
	if err != nil {
		return voice.Resource{}, err
	}
	return res, decode(res, into)
}

func decode(res voice.Resource, into any) error {
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("%s %s of %s: %w", res.Kind, res.Key, res.Tenant, err)
	}
	return nil
}

// put creates (version 0) or replaces a resource in the name of who is signed in.
func (r *request) put(tenant string, kind voice.Kind, key string, version int64, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = fabric.Call(r.ctx, r.f, contract.ConfigPut, contract.ConfigPutRequest{
		Tenant: tenant, Kind: kind, Key: key, Version: version, Body: raw, User: r.author(),
	})
	return err
}

func (r *request) remove(tenant string, kind voice.Kind, key string, version int64) error {
	_, err := fabric.Call(r.ctx, r.f, contract.ConfigDelete, contract.ConfigDeleteRequest{
		Tenant: tenant, Kind: kind, Key: key, Version: version, User: r.author(),
	})
	return err
}

// author is who stands in the history: the name, with the tenant where it is another one's.
func (r *request) author() string {
	if r.tenant == "" || r.tenant == r.who.Tenant {
		return r.who.User
	}
	return r.who.User + "@" + r.who.Tenant
}

// formVersion reads the version a form was made from.
func (r *request) formVersion() (int64, error) {
	v, err := strconv.ParseInt(r.form("version"), 10, 64)
	if err != nil || v < 1 {
		return 0, errors.Join(errForm, err)
	}
	return v, nil
}

// tenantNames lists tenants for the switch, current among them.
func (r *request) tenantNames(current string) ([]string, error) {
	list, err := fabric.Call(r.ctx, r.f, contract.ConfigList, contract.ConfigListRequest{
		Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: maxSwitch,
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range list.Resources {
		names = append(names, t.Key)
	}
	if !slices.Contains(names, current) {
		names = append(names, current)
	}
	return names, nil
}
