package node_test

import (
	"fmt"
	"testing"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/internal/porttest"
	"parley/internal/store/pgtest"
	"parley/server/node"
)

// Three nodes with three copies of everything and one PostgreSQL are one platform: a tenant is made once, a phone
// that registers with one node is known to all, and when a node stops the others go on.
func TestClusterOfThree(t *testing.T) {
	pg := &pgtest.Server{}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn, routes := pg.Database(t), porttest.TCP(t, 3)
	nodes := make([]*platform, len(routes))
	ready := make([]<-chan contract.StatusReport, len(routes))
	for i := range nodes {
		cfg := config(fmt.Sprintf("node-%d", i+1), t.TempDir())
		cfg.Store.DSN = obs.Secret(dsn)
		cfg.Fabric.Replicas, cfg.Fabric.User, cfg.Fabric.Password = 3, "parley", "of the nodes"
		cfg.Fabric.Cluster.Name, cfg.Fabric.Cluster.Listen, cfg.Fabric.Cluster.Routes = "test", routes[i], routes
		nodes[i], ready[i] = launch(t, cfg, node.Options{})
	}
	var accounts *platform
	for i, p := range nodes {
		select {
		case p.status = <-ready[i]:
		case err := <-p.done:
			p.done <- err
			t.Fatalf("node %d ended: %v\n%s", i+1, err, p.stderr)
		case <-time.After(60 * time.Second):
			t.Fatalf("node %d is not ready after a minute:\n%s", i+1, p.stderr)
		}
		if passwordRow.MatchString(p.stdout.String()) {
			if accounts != nil {
				t.Fatal("two nodes made the first tenant")
			}
			accounts = p
		}
	}
	if accounts == nil {
		t.Fatal("no node made the first tenant")
	}
	for _, p := range nodes {
		p.stdoutOf = accounts
	}
	nodes[0].register("tcp", "1001", 300)
	nodes[1].register("udp", "1002", 300)
	nodes[2].awaitContacts(2)
	await(t, func() error {
		if r := nodes[2].report(); len(r.Peers) != 2 {
			return fmt.Errorf("node-3 sees %v, want two peers", r.Peers)
		}
		return nil
	})

	nodes[0].stop()
	nodes[2].awaitContacts(1) // the connection of 1001 went with its node
	nodes[2].register("udp", "1003", 300)
	nodes[1].awaitContacts(2)
}
