package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/internal/voice"
)

type requestCmd struct {
	Name    string   `arg:"" help:"Request of T-Library, such as MakeCall or RequestMakeCall."`
	Members []string `arg:"" optional:"" help:"Its members as NAME=VALUE: ThisDN=1001 OtherDN=1002. Lists are JSON objects: UserData={\"vip\":1}."`
	Tenant  string   `help:"Tenant; without it the default one." placeholder:"NAME"`
	targetFlags
}

func (c requestCmd) Run(ctx context.Context, env Env) error {
	req, err := parseRequest(c.Name, c.Members)
	if err != nil {
		return err
	}
	req.Tenant = c.Tenant
	l, err := c.local(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	a, err := l.Request(ctx, req)
	if err != nil || a.Error != nil {
		return answered(env, a, err)
	}
	out, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	if string(out) == "{}" {
		return answered(env, a, nil)
	}
	return printf(env.Stdout, "%s\n", out)
}

// numeric are the members of a request that are numbers.
var numeric = []string{"ReferenceID", "UserDataVersion", "PrivateMsgID", "RouteType"}

// parseRequest makes a request of NAME=VALUE words.
func parseRequest(name string, members []string) (*voice.Request, error) {
	if !strings.HasPrefix(name, "Request") {
		name = "Request" + name
	}
	body := map[string]any{"request": name}
	for _, word := range members {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is no NAME=VALUE", word)
		}
		body[key] = value
		if strings.HasPrefix(value, "{") {
			body[key] = json.RawMessage(value)
		}
		for _, n := range numeric {
			if key == n {
				number, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%s: %q is no number", key, value)
				}
				body[key] = number
			}
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("a list among the members is no JSON: %w", err)
	}
	req := new(voice.Request)
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(req); err != nil {
		return nil, fmt.Errorf("the request cannot be read: %w", err)
	}
	return req, nil
}
