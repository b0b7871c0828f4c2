// Package registrar remembers where each number can be reached (RFC 3261 §10), and proves who says so.
//
// # A REGISTER
//
// The front door reads the message and calls [contract.Register]; the registrar answers with a status and headers.
// In this order: a banned source gets nothing; the host of the Request-URI chooses the tenant; option tags in Require;
// digest (internal/sipua/digest); the contacts and their leases; the rules of §10.3 step 7 against the contacts in
// force; the write; the 200. All contacts of a request are taken or none. A contact is found again by +sip.instance
// and reg-id (RFC 5626), else by the URI rules of §19.1.4. A request with the Call-ID and CSeq of a binding is its
// retransmission and gets the same answer; one with a lower CSeq is late, changes nothing and gets 500.
//
// Whoever has not proved who he is gets one and the same 401, whether the number exists or not, has a password, may
// register or belongs to somebody else, and the same work is done for him. The user of the credentials must be the
// number that is registered.
//
// # State
//
// One key per address-of-record in the bucket "registrations": fabric.Key(tenant, number), value a record (codec.go)
// of all its bindings. A 200 is sent when the bucket has it. The bucket is the only truth; each node keeps a copy of it
// in memory (index.go), fed by one watch and by its own writes. Where no other process can write to the bucket (a single
// node without fabric.listen) the watch ends when all has been read, and a record without bindings is forgotten when
// its minute is over. Some 450 bytes of heap a contact.
//
// A record outlives its contacts: its time to live is that of the last contact and a week. So a registrar that was
// down finds what ended meanwhile and says so. Taking a number out of service writes a record without bindings,
// which lives a minute; taking it in marks the record as born.
//
// # Events
//
// EventDNBackInService and EventDNOutOfService on DEVICES, when the first contact comes and when the last one ends:
// unregistered, expired, connection lost, removed by hand, number deleted. Whoever wrote the record that made the
// change publishes it; compare-and-set makes that one node. The message id holds the record's revision, so that a
// node which starts may publish the event of a write of the last minute again, in case its writer died in between.
//
// An ended registration is buried by the node that wrote it last, and by any other ten seconds later.
//
// # Concurrency
//
// Requests for one number go one after the other (aor.write, held while the record is stored); a few wait, more get
// 503. Other nodes are met by compare-and-set on the revision: the loser reads again and tries again, three times.
// Readers take a shard's read lock for a moment and never wait for a write. There is no timer per contact: each shard
// has a heap of times (due.go), looked at twice a second. Time comes from Options.Now.
//
// # Bans
//
// Wrong answers are counted by source (an IPv4 address, an IPv6 /64) in a sliding window, in bounded memory. Too many,
// and the source is not answered for a while, on any node: bucket "bans", key the address, value JSON [contract.Ban].
// No credentials, a stale nonce and a replayed count are no failures; a success forgets those before. As a nonce is
// valid only for the address it went to, nobody gets another banned by forging its address. When one number is tried
// from many sources each failure counts more; a phone that knows its password does not fail, so it is never locked out.
//
// # Limits
//
// Contacts per number, size of every header, waiting requests per number, remembered sources, bans and nonces:
// see [Config] and the constants. Not here: parsing SIP, keep-alives to phones, finding the way to a contact
// (services/sipproxy), who has which number (services/config).
package registrar
