// Package workspace is the agent's interface of the front end as desktop applications know it: /workspace/v3 with its
// push channel (CometD: Bayeux over long polling), and as much of /auth/v3 as is needed to get in.
//
// A desktop signs in (a bearer token, a code of /auth/v3/oauth/authorize, or a name and a password), gets a session in a
// cookie, follows its channels, and takes a device. From then on it asks for things about the calls of that device by
// verbs, each of which is one request of T-Library ([voice.Request]) to [Options.Ask], and is told by the events of that
// device what became of them.
//
// State: sessions, in memory, each with its device, the calls of it as their events told, and the clients of its push
// channel. All of it can be had again: a session by signing in, the calls from contract.FindCalls. So a session is known on
// the node that made it and nowhere else; what stands in front of several front ends must keep a cookie at one of them.
//
// Concurrency: handlers of requests and the events come at once. Service.mu guards which sessions there are and which
// follow a device; session.mu guards all that is in one session. Nobody holds two locks, and none while asking somebody.
// A poll that waits has no goroutine but that of its connection. Events of one call arrive in order and are put into
// queues in that order; a number that a call's state has already (voice.CallEvent.Seq) changes nothing.
//
// Limits: see [Config] and the constants of limits.go. Sessions in all and of one person, clients of a session, messages
// and bytes that wait for a client (one that lets more pile up is dropped, and begins anew with a handshake), messages in
// one request, requests of a session under way at once. A session ends with its token, with its person, after a while of
// silence, or by logout. A message that was taken for a poll whose connection breaks is lost, as with any Bayeux server
// without acknowledgements; GET voice/calls tells how things are.
//
// Not here: agent state (login, ready, not ready), which is refused with code 51; other media; what finds the node of a
// call (services/frontend); what a request does (services/sip).
package workspace
