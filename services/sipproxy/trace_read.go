package sipproxy

import (
	"bytes"
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	"parley/internal/contract"
	"parley/internal/sipua/wire"
	"parley/internal/voice"
)

const (
	maxTraced  = 2000 // messages of one call that are given
	shortTrace = 16   // bytes of a call's UUID, so that no short text matches many calls
)

// viaNode is what stands for the transport between a front door and the SIP node of another process.
const viaNode = "node"

// Trace serves contract.Trace: the messages whose Call-ID is that of the caller's leg or begins with the UUID of the call.
func (s *Service) Trace(_ context.Context, req contract.TraceRequest) (contract.TraceResponse, error) {
	resp := contract.TraceResponse{Messages: []contract.TraceMessage{}}
	if req.CallID == "" && len(req.CallUUID) < shortTrace {
		return resp, voice.Errorf(voice.ErrInvalid, "a trace is asked for by a Call-ID, or by the UUID of a call of at least %d characters", shortTrace)
	}
	if s.trace == nil {
		return resp, voice.Errorf(voice.ErrUnavailable, "this front door keeps no SIP messages (sipproxy.trace is 0)")
	}
	var texts [][]byte
	for _, text := range []string{req.CallID, req.CallUUID} {
		if text != "" {
			texts = append(texts, []byte(text))
		}
	}
	type found struct {
		turn uint64
		msg  contract.TraceMessage
	}
	var (
		list  []found
		m     wire.Message
		peers = map[string]bool{} // ends of connections that requests between front doors went over
	)
	lost := s.trace.each(texts, func(r traceRecord) bool {
		_ = wire.Scan(&m, r.data) // of what is broken, the Call-ID may be good all the same
		id := string(m.Get(wire.CallID))
		if id == req.CallID && id != "" || req.CallUUID != "" && strings.HasPrefix(id, req.CallUUID) {
			list = append(list, found{r.turn, s.traced(&r, id)})
			if s.showsPass(&m) {
				peers[r.remote.String()] = true
			}
		}
		return len(list) < maxTraced
	})
	// What came is noted with the time it was read, which messages read in one go share.
	slices.SortFunc(list, func(a, b found) int { return cmp.Or(a.msg.Time.Compare(b.msg.Time), cmp.Compare(a.turn, b.turn)) })
	for _, f := range list {
		if peers[f.msg.Remote] {
			f.msg.Transport = viaNode
		}
		resp.Messages = append(resp.Messages, f.msg)
	}
	resp.Lost = lost && (len(list) == 0 || !beginsDialog(resp.Messages[0].Text))
	return resp, nil
}

// traced copies a message out of the ring.
func (s *Service) traced(r *traceRecord, callID string) contract.TraceMessage {
	m := contract.TraceMessage{
		Time: r.at, Node: s.f.Node(), Sent: r.sent, Transport: string(r.transport),
		Local: r.local.String(), Remote: r.remote.String(), CallID: callID, Text: redact(r.data),
	}
	if s.nodes.isNode(r.remote) {
		m.Transport = viaNode
	}
	return m
}

// showsPass tells whether a request is from one front door to another. A connection between them has any port at one end, and a phone
// may share a host with a node.
func (s *Service) showsPass(m *wire.Message) bool {
	tokens := s.tokens.Load()
	if tokens == nil || !m.IsRequest() || !m.Has(wire.Route) {
		return false
	}
	top, _, _ := wire.Next(m.Get(wire.Route))
	user, ok := userOf(top)
	if !ok {
		return false
	}
	_, err := tokens.DecodePass(user, m.Get(wire.CallID))
	return err == nil
}

// beginsDialog tells whether a message is an INVITE outside of any dialog: the first thing there is of a call.
func beginsDialog(text string) bool {
	var m wire.Message
	_ = wire.Scan(&m, []byte(text))
	return m.IsRequest() && string(m.Method()) == "INVITE" && m.Tag(wire.To) == nil
}

var (
	// credentialLine finds header lines that hold credentials or challenges, continuation lines included.
	credentialLine = regexp.MustCompile(`(?im)^(?:proxy-)?(?:authorization|authenticate)[ \t]*:.*(?:\r?\n[ \t].*)*|^www-authenticate[ \t]*:.*(?:\r?\n[ \t].*)*`)
	// credentialPart finds in them what a guess at the password, or a replay, could begin with.
	credentialPart = regexp.MustCompile(`(?i)\b(response|nonce|cnonce|opaque|nextnonce|rspauth)\s*=\s*("(?:[^"\\]|\\.)*"?|[^,\s]*)`)
	// bearer finds the other schemes, which are secret altogether.
	bearer = regexp.MustCompile(`(?i)(:[ \t]*(?:basic|bearer)[ \t]+)\S+`)
	// bodySecret finds keys of audio in SDP (RFC 4568 §9.1, RFC 4567, RFC 8866 §5.12), passwords of ICE (RFC 8839 §5.4), and
	// digits in INFO: they may be a PIN.
	bodySecret = regexp.MustCompile(`(?im)(inline:)[^\s|;]+|^(a=key-mgmt:\s*\S+\s+)\S+|^(a=ice-pwd:)\S+|^(k=\w+:)\S+|^(signal\s*=\s*)\S+`)
)

// redact returns a message as it may be shown: without what credentials are made of, and without the keys of audio.
func redact(data []byte) string {
	head, body, hasBody := bytes.Cut(data, []byte("\r\n\r\n"))
	text := credentialLine.ReplaceAllStringFunc(string(head), func(line string) string {
		return bearer.ReplaceAllString(credentialPart.ReplaceAllString(line, "$1=***"), "$1***")
	})
	if !hasBody {
		return text
	}
	return text + "\r\n\r\n" + bodySecret.ReplaceAllString(string(body), "$1$2$3$4$5***")
}
