package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// queueFlags name a call at a route point.
type queueFlags struct {
	Call   string `help:"UUID of the call; without it the one that waits there longest." placeholder:"UUID"`
	Tenant string `help:"Tenant; without it any." placeholder:"NAME"`
	Ref    int64  `help:"ReferenceID, which comes back in the events." placeholder:"N"`
	targetFlags
}

type treatCmd struct {
	RoutePoint string `arg:"" help:"Route point that the call is at."`
	Treatment  string `arg:"" help:"What the caller shall hear: Music, PlayAnnouncement, CollectDigits …"`
	Parameters string `arg:"" optional:"" help:"Parameters as a JSON object, such as '{\"PROMPT\":{\"1\":{\"ID\":\"welcome\"}}}'."`
	queueFlags
}

func (c treatCmd) Run(ctx context.Context, env Env) error {
	t, err := voice.ParseTreatmentType(c.Treatment)
	if err != nil {
		return err
	}
	var params voice.KVList
	if c.Parameters != "" {
		if err := json.Unmarshal([]byte(c.Parameters), &params); err != nil {
			return fmt.Errorf("the parameters cannot be read: %w", err)
		}
	}
	l, err := c.local(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	a, err := l.Treat(ctx, &contract.TreatmentRequest{
		Tenant: c.Tenant, CallUUID: c.Call, ThisDN: c.RoutePoint, Type: t, Parameters: params, ReferenceID: c.Ref,
	})
	return answered(env, a, err)
}

type routeCmd struct {
	RoutePoint  string `arg:"" help:"Route point that the call is at."`
	Destination string `arg:"" help:"Number that the call shall go to."`
	queueFlags
}

func (c routeCmd) Run(ctx context.Context, env Env) error {
	l, err := c.local(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	a, err := l.Route(ctx, &contract.RouteCallRequest{
		Tenant: c.Tenant, CallUUID: c.Call, ThisDN: c.RoutePoint, Destination: c.Destination, ReferenceID: c.Ref,
	})
	return answered(env, a, err)
}

// answered prints what became of a request; events tell the rest.
func answered(env Env, a *contract.RequestAnswer, err error) error {
	switch {
	case err != nil:
		return err
	case a.Error != nil:
		return fmt.Errorf("error %d: %s", a.Error.Code, a.Error.Message)
	}
	return printf(env.Stdout, "accepted\n")
}
