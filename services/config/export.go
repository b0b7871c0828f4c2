package config

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"parley/internal/contract"
	"parley/internal/store"
	"parley/internal/voice"
)

// Export serves contract.ConfigExport: everything in the form Apply takes.
func (s *Service) Export(ctx context.Context, req contract.ConfigExportRequest) (contract.ConfigExportResponse, error) {
	q := store.ListQuery{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1000}
	var tenants []voice.Resource
	if req.Tenant != "" {
		r, err := s.store.Get(ctx, q.Tenant, q.Kind, req.Tenant)
		if err != nil {
			return contract.ConfigExportResponse{}, notThere(err, id{q.Tenant, q.Kind, req.Tenant})
		}
		tenants = append(tenants, r)
	} else if err := s.all(ctx, q, func(r voice.Resource) error { tenants = append(tenants, r); return nil }); err != nil {
		return contract.ConfigExportResponse{}, err
	}
	var page bytes.Buffer
	if len(tenants) == 0 {
		page.WriteString("tenants: []\n")
	} else {
		page.WriteString("tenants:\n")
	}
	for _, t := range tenants {
		if err := s.exportTenant(ctx, &page, t, req.Secrets); err != nil {
			return contract.ConfigExportResponse{}, fmt.Errorf("export tenant %q: %w", t.Key, err)
		}
	}
	return contract.ConfigExportResponse{YAML: page.Bytes()}, nil
}

// all calls fn for each resource of a list, over its pages.
func (s *Service) all(ctx context.Context, q store.ListQuery, fn func(voice.Resource) error) error {
	for {
		page, err := s.store.List(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Resources {
			if err := fn(r); err != nil {
				return err
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

func (s *Service) exportTenant(ctx context.Context, page *bytes.Buffer, t voice.Resource, secrets bool) error {
	head, err := block(t.Body)
	if err != nil {
		return err
	}
	indent(page, "  - ", "    ", head)
	for _, k := range s.kinds.list {
		if k.name == voice.KindTenant {
			continue
		}
		first := true
		err := s.all(ctx, store.ListQuery{Tenant: t.Key, Kind: k.name, Limit: 1000}, func(r voice.Resource) error {
			if first {
				fmt.Fprintf(page, "    %s:\n", k.name)
				first = false
			}
			if !secrets {
				if r, err = withoutSecrets(k, r); err != nil {
					return err
				}
			}
			item, err := block(r.Body)
			if err != nil {
				return err
			}
			indent(page, "      - ", "        ", item)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// block renders a stored body as YAML, its fields in the order of the type.
func block(body json.RawMessage) ([]byte, error) {
	v, err := ordered(json.NewDecoder(bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	return yaml.MarshalWithOptions(v, yaml.UseLiteralStyleIfMultiline(true))
}

// ordered reads JSON without losing the order of its fields.
func ordered(dec *json.Decoder) (any, error) {
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			list := []any{}
			for dec.More() {
				item, err := ordered(dec)
				if err != nil {
					return nil, err
				}
				list = append(list, item)
			}
			_, err = dec.Token()
			return list, err
		}
		fields := yaml.MapSlice{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			value, err := ordered(dec)
			if err != nil {
				return nil, err
			}
			fields = append(fields, yaml.MapItem{Key: name, Value: value})
		}
		_, err = dec.Token()
		return fields, err
	case json.Number:
		return t.Int64()
	}
	return t, nil
}

// indent writes text with first before its first line and rest before the others.
func indent(page *bytes.Buffer, first, rest string, text []byte) {
	lead := first
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line != "" {
			page.WriteString(lead)
		}
		page.WriteString(line)
		page.WriteByte('\n')
		lead = rest
	}
}
