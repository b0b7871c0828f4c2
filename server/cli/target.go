package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/server/control"
	"parley/server/settings"
)

// nodeFlags are the sources of a node's configuration.
type nodeFlags struct {
	Config   string   `help:"YAML file with the configuration; without one all keys have their defaults." placeholder:"FILE" env:"PARLEY_CONFIG"`
	DataDir  string   `help:"Directory of everything the node keeps (node.data_dir)." placeholder:"DIR"`
	Services []string `help:"Services this node runs (node.services): all, or some of rq, config, tenant, dialplan, registrar, cdr, callstate, sipproxy, sip, frontend, orchestration, web." placeholder:"NAME"`
}

// load reads the configuration from file, environment and flags.
func (f nodeFlags) load(env Env) (settings.Config, []string, error) {
	src := settings.Sources{File: f.Config, Env: env.Environ}
	if f.DataDir != "" {
		src.Flags = append(src.Flags, settings.Flag{Name: "--data-dir", Key: "node.data_dir", Value: f.DataDir})
	}
	if len(f.Services) > 0 {
		src.Flags = append(src.Flags, settings.Flag{Name: "--services", Key: "node.services", Value: strings.Join(f.Services, ",")})
	}
	return settings.Load(src)
}

// targetFlags say which running platform a command speaks to.
type targetFlags struct {
	Config  string     `help:"Configuration file of the node on this machine." placeholder:"FILE" env:"PARLEY_CONFIG"`
	DataDir string     `help:"Data directory of the node on this machine." placeholder:"DIR"`
	URL     string     `help:"REST address of a node elsewhere: of its config service for apply and export (http://127.0.0.1:9100), of rq for status (http://127.0.0.1:12000), of the dial plan for dial (http://127.0.0.1:8800)." placeholder:"URL" env:"PARLEY_URL"`
	Token   obs.Secret `help:"API token for --url; better given as PARLEY_TOKEN, where other accounts cannot see it." placeholder:"TOKEN" env:"PARLEY_TOKEN"`
}

// platform is a running platform, near or far.
type platform interface {
	Apply(ctx context.Context, req contract.ConfigApplyRequest) (contract.ConfigApplyResponse, error)
	Export(ctx context.Context, req contract.ConfigExportRequest) (contract.ConfigExportResponse, error)
	Cluster(ctx context.Context) (control.Cluster, error)
	Resolve(ctx context.Context, req *contract.ResolveRequest) (*contract.ResolveResponse, error)
	Script(ctx context.Context, req control.ScriptRequest) (control.ScriptAnswer, error)
}

// local is the node of a data directory on this machine.
func (t targetFlags) local(env Env) (*control.Local, error) {
	if t.URL != "" {
		return nil, errors.New("--url: this command asks the node on this machine; leave --url out")
	}
	cfg, _, err := nodeFlags{Config: t.Config, DataDir: t.DataDir}.load(env)
	if err != nil {
		return nil, fmt.Errorf("the configuration that names the data directory is wrong:\n%w", err)
	}
	return control.NewLocal(cfg.Node.DataDir), nil
}

// platform is the node on this machine, or with --url the one there.
func (t targetFlags) platform(env Env) (platform, error) {
	if t.URL == "" {
		return t.local(env)
	}
	if t.Token == "" {
		return nil, errors.New("--token: REST needs one; `parley token --user NAME` on the node's machine makes it")
	}
	return control.NewRemote(t.URL, t.Token)
}

// commandTimeout bounds every command that asks a node; applying 100,000 numbers takes seconds.
const commandTimeout = 3 * time.Minute
