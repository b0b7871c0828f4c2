package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/server/control"
	"parley/server/node"
	"parley/server/settings"
)

// remote is a client of one service of the node over REST, with a token of user.
func (p *platform) remote(service, user string) *control.Remote {
	p.t.Helper()
	s, err := control.NewLocal(p.cfg.Node.DataDir).IssueToken(p.t.Context(), "", user, time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := control.NewRemote("http://"+p.address(service, "http"), obs.Secret(s.Token))
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// What the command line does on the node's machine it does over REST from elsewhere.
func TestRemoteCommands(t *testing.T) {
	p := start(t, config("n", t.TempDir()), node.Options{})
	r := p.remote(settings.Conf, "admin")
	req := contract.ConfigApplyRequest{File: "x.yaml", YAML: []byte(`tenants: [{name: demo, persons: [{username: sue, password: a-password-of-sue, roles: [supervisor]}], scripts: [{name: s, scxml_file: s.scxml}]}]`),
		Files: map[string][]byte{"s.scxml": []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><final id="f"/></scxml>`)}}
	res, err := r.Apply(t.Context(), req)
	if err != nil || len(res.Changes) != 2 {
		t.Fatalf("Apply = %+v, %v", res, err)
	}
	bad := contract.ConfigApplyRequest{File: "x.yaml", YAML: []byte("tenants:\n  - name: demo\n    dns:\n      - {number: \"1\", type: extention}\n")}
	var e *voice.Error
	if _, err := r.Apply(t.Context(), bad); !errors.As(err, &e) || len(e.Fields) == 0 || e.Fields[0].Line != 4 || e.Fields[0].File != "x.yaml" {
		t.Errorf("Apply of a bad file = %#v, want its place", err)
	}
	out, err := r.Export(t.Context(), contract.ConfigExportRequest{Tenant: "demo"})
	if err != nil || !strings.Contains(string(out.YAML), "username: sue") {
		t.Errorf("Export = %s, %v", out.YAML, err)
	}
	c, err := p.remote(settings.RQ, "admin").Cluster(t.Context())
	if err != nil || len(c.Nodes) != 1 || c.Nodes[0].Node != "n" || c.Nodes[0].Level != obs.LevelPass {
		t.Errorf("Cluster = %+v, %v", c, err)
	}
	if _, err := p.remote(settings.RQ, "sue").Cluster(t.Context()); !errors.Is(err, voice.ErrForbidden) {
		t.Errorf("Cluster for a supervisor = %v, want ErrForbidden", err)
	}
	wrong, err := control.NewRemote("http://"+p.address(settings.Conf, "http"), "no token")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Export(t.Context(), contract.ConfigExportRequest{}); !errors.Is(err, voice.ErrUnauthorized) {
		t.Errorf("Export with a wrong token = %v, want ErrUnauthorized", err)
	}
	if _, err := control.NewRemote("127.0.0.1:9100", "x"); err == nil {
		t.Error("an address without a scheme is accepted")
	}
}

// Every service says that it is alive and ready, and describes its REST interface.
func TestEveryServiceAnswersOnItsPort(t *testing.T) {
	p := start(t, config("n", t.TempDir()), node.Options{})
	for _, s := range p.status.Services {
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json"} {
			res, err := client.Get(s.Address[0] + path)
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
				continue
			}
			if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%s%s: %s, %v", s.Name, path, res.Status, err)
			}
		}
	}
}

// Two nodes of one cluster must not share an id: the one that came second stops and says why.
func TestTwinNodes(t *testing.T) {
	cfg := config("twin", t.TempDir())
	cfg.Fabric.Listen, cfg.Fabric.User, cfg.Fabric.Password = "127.0.0.1:0", "parley", "of the nodes"
	first := start(t, cfg, node.Options{})
	second := config("twin", t.TempDir())
	second.Node.Services = []string{settings.Registrar}
	second.Fabric.URL = "nats://" + first.address(settings.RQ, "nats")
	second.Fabric.User, second.Fabric.Password = "parley", "of the nodes"
	p, _ := launch(t, second, node.Options{})
	select {
	case err := <-p.done:
		close(p.done)
		if err == nil || !strings.Contains(err.Error(), "node.id") || !strings.Contains(err.Error(), "another node of this id") {
			t.Errorf("the second node ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the second node goes on:\n%s", p.stderr)
	}
	await(t, func() error {
		if r := first.report(); r.Level != obs.LevelPass {
			return fmt.Errorf("the first node is %v", r.Level)
		}
		return nil
	})
}

// A node that runs some services only works with one that runs the others, and both are seen from either.
func TestNodesShareTheServices(t *testing.T) {
	cfg := config("core", t.TempDir())
	cfg.Node.Services = []string{settings.RQ, settings.Conf, settings.Tenant, settings.Registrar}
	cfg.Fabric.Listen, cfg.Fabric.User, cfg.Fabric.Password = "127.0.0.1:0", "parley", "of the nodes"
	core := start(t, cfg, node.Options{})
	edgeCfg := config("edge", t.TempDir())
	edgeCfg.Node.Services = []string{settings.SIPProxy, settings.Pages}
	edgeCfg.Fabric.URL = "nats://" + core.address(settings.RQ, "nats")
	edgeCfg.Fabric.User, edgeCfg.Fabric.Password = "parley", "of the nodes"
	edge := start(t, edgeCfg, node.Options{})
	edge.stdoutOf = core

	third := config("third", t.TempDir())
	third.Node.Services = []string{settings.Conf}
	third.Fabric = edgeCfg.Fabric
	if msg := wantError(t, third, node.Options{}); !strings.Contains(msg, "store.dsn: node core runs the config service too") {
		t.Errorf("a second store: %s", msg)
	}

	edge.register("udp", "1001", 300)
	core.awaitContacts(1)
	await(t, func() error {
		c, err := control.NewLocal(edgeCfg.Node.DataDir).Cluster(t.Context())
		if err != nil || len(c.Nodes) != 2 || len(c.Silent) > 0 {
			return fmt.Errorf("Cluster = %+v, %v", c, err)
		}
		return nil
	})
}
