package contract

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// askAtOnce is how many nodes are asked at a time.
const askAtOnce = 16

// TracedCall is a call with the SIP messages that the front doors of the platform remember of it.
type TracedCall struct {
	CDR    *voice.CDR // the record of a call that is over; else nil
	Live   *LiveCall  // the call in progress; else nil
	Silent []string   // nodes that did not answer, whose messages are missing
	TraceResponse
}

// TraceCall asks the nodes for a call of tenant and its SIP messages, in the order of their times. The error is voice.ErrNotFound
// when the tenant has no such call, and voice.ErrUnavailable with the rest filled in when no front door keeps messages.
func TraceCall(ctx context.Context, f *fabric.Fabric, nodes []string, tenant, uuid string) (TracedCall, error) {
	c, err := findCall(ctx, f, nodes, tenant, uuid)
	if err != nil {
		return c, err
	}
	req := TraceRequest{CallUUID: uuid}
	if c.CDR != nil {
		req.CallID = c.CDR.SIPCallID
	} else {
		req.CallID = c.Live.SIPCallID
	}
	answers, silent := AskNodes(ctx, f, Trace, nodes, req)
	c.Silent = silent
	c.Messages = []TraceMessage{}
	for _, a := range answers {
		c.Messages = append(c.Messages, a.Messages...)
		c.Lost = c.Lost || a.Lost && len(a.Messages) > 0
	}
	slices.SortStableFunc(c.Messages, func(a, b TraceMessage) int { return a.Time.Compare(b.Time) })
	if len(answers) == 0 && len(silent) == 0 {
		return c, voice.Errorf(voice.ErrUnavailable, "no front door keeps SIP messages")
	}
	c.Lost = c.Lost || len(c.Messages) == 0 && slices.ContainsFunc(answers, func(a TraceResponse) bool { return a.Lost })
	return c, nil
}

// findCall looks for a call of tenant among those in progress, then among the records.
func findCall(ctx context.Context, f *fabric.Fabric, nodes []string, tenant, uuid string) (c TracedCall, err error) {
	answers, silent := AskNodes(ctx, f, Calls, nodes, CallsRequest{Tenant: tenant, CallUUIDs: []string{uuid}, Limit: 1})
	for _, a := range answers {
		for i := range a.Calls {
			if a.Calls[i].CallUUID == uuid && a.Calls[i].Tenant == tenant {
				c.Live = &a.Calls[i]
				return c, nil
			}
		}
	}
	record, err := fabric.Call(ctx, f, CDRGet, CDRKey{Tenant: tenant, CallUUID: uuid})
	if err != nil {
		if errors.Is(err, voice.ErrNotFound) && len(silent) > 0 {
			return c, voice.Errorf(voice.ErrUnavailable, "no record of call %.64s, and not every node answers: %s", uuid, strings.Join(silent, ", "))
		}
		return c, err
	}
	c.CDR = &record
	return c, nil
}

// AskNodes asks the same of several nodes. What a node does not serve it has no part in; those that gave no answer, or failed,
// are named.
func AskNodes[Req, Resp any](ctx context.Context, f *fabric.Fabric, door fabric.Door[Req, Resp], nodes []string, req Req) (answers []Resp, silent []string) {
	var (
		mu sync.Mutex // guards what is returned
		g  errgroup.Group
	)
	type answer struct {
		node string
		resp Resp
	}
	var got []answer
	g.SetLimit(askAtOnce)
	for _, node := range nodes {
		g.Go(func() error {
			resp, err := fabric.CallNode(ctx, f, door, node, req)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				got = append(got, answer{node, resp})
			case !errors.Is(err, voice.ErrUnavailable):
				silent = append(silent, node)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are part of what is returned
	slices.SortFunc(got, func(a, b answer) int { return cmp.Compare(a.node, b.node) })
	for _, a := range got {
		answers = append(answers, a.resp)
	}
	slices.Sort(silent)
	return answers, silent
}

// Text writes messages as a person reads them: a line about each, then the message.
func (r *TraceResponse) Text() string {
	var b strings.Builder
	for i := range r.Messages {
		m := &r.Messages[i]
		way := " <- "
		if m.Sent {
			way = " -> "
		}
		b.WriteString("---- " + m.Time.UTC().Format("2006-01-02T15:04:05.000000Z") + " " + m.Node + " " + m.Transport + " " + m.Local + way + m.Remote + "\n")
		b.WriteString(strings.TrimRight(strings.ReplaceAll(m.Text, "\r\n", "\n"), "\n") + "\n\n")
	}
	return b.String()
}
