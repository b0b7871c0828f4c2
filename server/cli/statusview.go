package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
	"parley/server/control"
)

// printCluster shows every node: its services with levels and addresses, the reasons of what is not well, and then
// what the platform as a whole has.
func printCluster(w io.Writer, c control.Cluster, now time.Time) error {
	for _, n := range c.Nodes {
		if err := printNode(w, n, now); err != nil {
			return err
		}
	}
	for _, s := range c.Silent {
		if err := printf(w, "node %s\n\n", s); err != nil {
			return err
		}
	}
	if len(c.Nodes) == 0 {
		return nil
	}
	first := c.Nodes[0]
	calls := -1
	for _, n := range c.Nodes {
		if n.Calls >= 0 {
			calls = max(calls, 0) + n.Calls
		}
	}
	threads := ""
	if first.CallState != nil {
		threads = fmt.Sprintf("   call threads %d", first.CallState.Threads)
	}
	return printf(w, "registrations %s   contacts %s   calls %s   bans %s   nodes %d%s\n",
		count(first.Registrations), count(first.Contacts), count(calls), count(first.Bans), len(c.Nodes)+len(c.Silent), threads)
}

func printNode(w io.Writer, n contract.StatusReport, now time.Time) error {
	calls := ""
	if n.Calls >= 0 { // it runs a SIP node
		calls = fmt.Sprintf(", calls %d", n.Calls)
	}
	if err := printf(w, "node %s: %s, version %s, up %s%s\n\n", n.Node, n.Level, n.Version, now.Sub(n.Started).Round(time.Second), calls); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, s := range n.Services {
		if err := printf(table, "  %s\t%s\t%s\n", s.Name, s.Level, strings.Join(s.Address, "  ")); err != nil {
			return err
		}
		for _, c := range s.Checks {
			if c.Level == obs.LevelPass {
				continue
			}
			reason := c.Reason
			if reason == "" {
				reason = "no reason given"
			}
			if err := printf(table, "  \t\t%s is %s for %s: %s\n", c.Name, c.Level, now.Sub(c.Since).Round(time.Second), reason); err != nil {
				return err
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := printf(w, "\n"); err != nil {
		return err
	}
	return printCallState(w, n.CallState)
}

// violationsShown is how many of the latest are shown; REST lists more.
const violationsShown = 5

// printCallState shows what should never have happened to calls, if the node knows of any.
func printCallState(w io.Writer, s *contract.InvariantsResponse) error {
	if s == nil || s.Sum() == 0 {
		return nil
	}
	if err := printf(w, "  %d invariants of calls did not hold (GET /api/v1/invariants of callstate); the latest:\n", s.Sum()); err != nil {
		return err
	}
	for _, v := range s.Violations[max(0, len(s.Violations)-violationsShown):] {
		if err := printf(w, "    %s  %s  call %s of node %s: %s\n", v.Time.Format(time.DateTime), v.Kind, v.CallUUID, v.Node, v.Reason); err != nil {
			return err
		}
	}
	return printf(w, "\n")
}

// count shows a number of the platform; -1 is not known at the moment.
func count(n int) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}
