package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"parley/internal/contract"
)

type dialCmd struct {
	Number string `arg:"" help:"As dialled."`
	From   string `help:"Number of the calling extension; without it the caller is outside." placeholder:"NUMBER"`
	Tenant string `help:"Tenant; without it the default tenant." placeholder:"NAME"`
	Trunk  string `help:"Trunk that the call comes in by." placeholder:"DN"`
	At     string `help:"When: 2026-11-23T18:30:00Z, or 2026-11-23 18:30 in this machine's time zone; without it now." placeholder:"TIME"`
	JSON   bool   `help:"As JSON."`
	targetFlags
}

func (c dialCmd) Run(ctx context.Context, env Env) error {
	at, err := parseMoment(c.At)
	if err != nil {
		return err
	}
	if c.URL != "" && c.Tenant == "" {
		return errors.New("--tenant: over REST a tenant has to be named")
	}
	p, err := c.platform(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	res, err := p.Resolve(ctx, &contract.ResolveRequest{Tenant: c.Tenant, From: c.From, Trunk: c.Trunk, Dialled: c.Number, At: at, Explain: true})
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(env.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(res)
	}
	return printResolution(env.Stdout, res)
}

// parseMoment reads a time as people and programs write it; "" is the zero time, which is now.
func parseMoment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at: %q is not a time; want one such as 2026-11-23T18:30:00Z or \"2026-11-23 18:30\"", text)
}

// printResolution shows the steps in a table and the outcome below it.
func printResolution(w io.Writer, r *contract.ResolveResponse) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i, s := range r.Steps {
		if err := printf(table, "%2d  %s\t%s\n", i+1, s.Rule, s.Result); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Diverted) > 0 {
		if err := printf(w, "\nforwarded away from %s", strings.Join(r.Diverted, ", then ")); err != nil {
			return err
		}
	}
	return printf(w, "\n=> %s\n", outcome(r))
}

// outcome is where the call goes, in a sentence without end.
func outcome(r *contract.ResolveResponse) string {
	switch r.Kind {
	case contract.RouteDevice:
		if r.Contact != "" {
			return "device " + r.Number + " at " + r.Contact
		}
		return "device " + r.Number + " where it is registered"
	case contract.RoutePoint:
		if r.Application == "" {
			return "route point " + r.Number + ", which has no application"
		}
		return "route point " + r.Number + " with application " + r.Application
	case contract.RouteVoicemail:
		if r.Mailbox == "" {
			return "voicemail, which asks for the mailbox"
		}
		return "mailbox " + r.Mailbox
	case contract.RouteTrunk:
		var targets []string
		for _, t := range r.Trunks {
			targets = append(targets, fmt.Sprintf("%s by trunk %s (%s)", t.Number, t.DN, t.Contact))
		}
		return strings.Join(targets, ", then ")
	case contract.RouteReject:
		return fmt.Sprintf("rejected with %d: %s", r.Status, r.Reason)
	}
	return string(r.Kind)
}
