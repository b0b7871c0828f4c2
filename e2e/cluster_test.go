package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/e2e/peer"
	"parley/e2e/phone"
	"parley/internal/porttest"
	"parley/internal/store/pgtest"
)

// Three nodes with one database are one platform: what one knows all know, and one may die.
func TestClusterOfThree(t *testing.T) {
	db := &pgtest.Server{}
	t.Cleanup(func() {
		if err := db.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn := db.Database(t)
	routes := porttest.TCP(t, 3)
	file := provision(t, `tenants:
  - name: demo
    domains: [demo.local]
    default: true
    dns:
      - {number: "1001", type: extension, password: `+nodeSecret+`}
      - {number: "1002", type: extension, password: `+nodeSecret+`}
    persons: [{username: admin, password: cluster-admin-secret, roles: [system]}]
`)
	nodes := make([]*platform, 3)
	for i := range nodes {
		more := fmt.Sprintf("store: {dsn: %q}\nfabric: {cluster: {name: e2e, listen: %q, routes: [%q, %q, %q]}, user: node, password: between-nodes, replicas: 3}\n"+
			"registrar: {bans: {failures: 5}}\n", dsn, routes[i], routes[0], routes[1], routes[2])
		var args []string
		if i == 0 {
			args = []string{"--provision", file}
		}
		nodes[i] = prepare(t, fmt.Sprintf("node-%d", i), more, args...)
		nodes[i].launch() // all must be up before any can be ready
	}
	for _, n := range nodes {
		n.awaitReady()
	}
	for _, n := range nodes { // a node that is ready may not have heard yet of what another one was provisioned with
		peer.Poll(t, 60*time.Second, func() error {
			if out, code := n.cli("dial", "1002", "--from", "1001"); code != 0 || !strings.Contains(out, "extension 1002") {
				return fmt.Errorf("the numbers are not known: %s", out)
			}
			return nil
		})
	}

	t.Run("a nonce of one node is good on another", func(t *testing.T) {
		// The line to the first node is exchanged for one to the second, from the same address, in between.
		lines := []phone.Line{dial(t, nodes[0], "udp"), dial(t, nodes[1], "udp")}
		ph := phone.Phone{Line: lines[0], User: "1001", Password: nodeSecret, Domain: "demo.local"}
		if res, err := ph.Register(600); err != nil || res.Status != 200 {
			t.Fatalf("REGISTER at node 0: %+v %v", res, err)
		}
		ph.Line = lines[1]
		ph.OneTry = true
		if res, err := ph.Register(600); err != nil || res.Status != 200 {
			t.Errorf("REGISTER at node 1 with the nonce of node 0: %+v %v", res, err)
		}
	})
	t.Run("all nodes know all contacts", func(t *testing.T) {
		ph := phone.Phone{Line: dial(t, nodes[2], "udp"), User: "1002", Password: nodeSecret, Domain: "demo.local"}
		if res, err := ph.Register(600); err != nil || res.Status != 200 {
			t.Fatalf("REGISTER at node 2: %+v %v", res, err)
		}
		for _, n := range nodes {
			n.awaitContacts(3) // 1001 came over two lines
		}
	})
	t.Run("a ban holds everywhere", func(t *testing.T) {
		banEverywhere(t, nodes)
	})
	t.Run("one may die", func(t *testing.T) {
		alice, bob := agent(t, nodes[1], "1001", "udp"), agent(t, nodes[2], "1002", "tcp")
		for _, n := range nodes { // else a call may ring the lines of before alone, which nobody answers
			n.awaitContacts(5)
		}
		var standing []*talk
		for range 9 {
			standing = append(standing, connect(t, alice, bob))
		}
		at0 := callsAt(t, nodes[0], func(int) bool { return true })
		if at1, at2 := callsAt(t, nodes[1], func(int) bool { return true }), callsAt(t, nodes[2], func(int) bool { return true }); at0+at1+at2 != 9 || at0 == 9 {
			t.Errorf("the nodes have %d, %d and %d calls of 9", at0, at1, at2)
		}
		nodes[0].proc.Kill()
		for _, k := range standing {
			res, err := k.out.Request("BYE", "", "")
			switch {
			case err != nil:
				t.Errorf("BYE: %v", err)
			case res.Status != 200:
				t.Errorf("BYE: %d", res.Status)
			}
		}
		ph := phone.Phone{User: "1001", Password: nodeSecret, Domain: "demo.local", Timeout: time.Second}
		peer.Poll(t, 30*time.Second, func() error {
			ph.Line = dial(t, nodes[1], "udp")
			res, err := ph.Register(600)
			if err == nil && res.Status != 200 {
				err = fmt.Errorf("%d %s", res.Status, res.Reason)
			}
			return err
		})
		peer.Poll(t, 30*time.Second, func() error {
			s, err := nodes[2].askStatus()
			if err == nil && s.Contacts < 3 {
				err = fmt.Errorf("%d contacts left of 3 or more", s.Contacts)
			}
			return err
		})
		k := connect(t, bob, alice)
		k.heard()
		if err := k.in.Bye(); err != nil {
			t.Error(err)
		}
		k.over()
	})
}

func banEverywhere(t *testing.T, nodes []*platform) {
	t.Helper()
	for i := range 10 {
		ph := phone.Phone{Line: dial(t, nodes[0], "udp"), User: "1001", Password: fmt.Sprint("guess ", i), Domain: "demo.local", Timeout: 300 * time.Millisecond}
		if _, err := ph.Register(600); err != nil {
			break // silence: banned
		}
	}
	for i, n := range nodes {
		peer.Poll(t, 5*time.Second, func() error {
			if bans := rest(t, n, "registrar", http.MethodGet, "/api/v1/bans", http.StatusOK); !strings.Contains(bans, "127.0.0.1") {
				return fmt.Errorf("node %d does not know the ban: %s", i, bans)
			}
			return nil
		})
	}
	rest(t, nodes[1], "registrar", http.MethodDelete, "/api/v1/bans/127.0.0.1", http.StatusNoContent)
	for i, n := range nodes {
		peer.Poll(t, 5*time.Second, func() error {
			var list struct{ Bans []json.RawMessage }
			if err := json.Unmarshal([]byte(rest(t, n, "registrar", http.MethodGet, "/api/v1/bans", http.StatusOK)), &list); err != nil {
				return err
			}
			if len(list.Bans) != 0 {
				return fmt.Errorf("node %d still knows the ban that node 1 lifted", i)
			}
			return nil
		})
	}
}
