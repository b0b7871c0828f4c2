package cli

import (
	"context"
	"encoding/json"
	"io"
	"runtime/debug"
	"time"

	"parley/internal/contract"
	"parley/server/node"
)

type serveCmd struct {
	nodeFlags
	Provision string `help:"Provisioning file to apply after the start, on every start; the demo tenant is then not made." placeholder:"FILE" env:"PARLEY_PROVISION"`
}

func (c serveCmd) Run(ctx context.Context, env Env) error {
	cfg, warnings, err := c.load(env)
	if err != nil {
		return printProblems(env.Stderr, err)
	}
	return readable(node.Run(ctx, cfg, node.Options{
		Stdout: env.Stdout, Stderr: env.Stderr, Version: env.Version.Short(), Provision: c.Provision, Warnings: warnings,
		// A start makes garbage that is never needed again (password hashing alone takes 19 MiB). The runtime would give it
		// back over many minutes of an idle node; an edge box can use it at once.
		Ready: func(contract.StatusReport) { debug.FreeOSMemory() },
	}))
}

type statusCmd struct {
	JSON bool `help:"As JSON."`
	targetFlags
}

func (c statusCmd) Run(ctx context.Context, env Env) error {
	p, err := c.platform(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cluster, err := p.Cluster(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(env.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(cluster)
	}
	return printCluster(env.Stdout, cluster, time.Now())
}

type tokenCmd struct {
	User   string        `required:"" help:"Whose token it is." placeholder:"NAME"`
	Tenant string        `help:"Tenant of the person; without it the default tenant." placeholder:"NAME"`
	TTL    time.Duration `help:"How long the token lives." default:"24h"`
	targetFlags
}

func (c tokenCmd) Run(ctx context.Context, env Env) error {
	l, err := c.local(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	s, err := l.IssueToken(ctx, c.Tenant, c.User, c.TTL)
	if err != nil {
		return readable(err)
	}
	if err := printf(env.Stdout, "%s\n", s.Token); err != nil {
		return err
	}
	// What it is goes to standard error, so that $(parley token --user x) is the token alone.
	return printf(env.Stderr, "token of %s/%s, valid until %s\n", s.Principal.Tenant, s.Principal.User, s.Expires.Local().Format(time.DateTime))
}

type versionCmd struct{}

func (versionCmd) Run(env Env) error { return printVersion(env.Stdout, env.Version) }

func printVersion(w io.Writer, v Version) error { return printf(w, "%s\n", v) }
