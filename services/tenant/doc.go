// Package tenant signs people in and says who stands behind a bearer token.
//
// A sign-in checks a name and a password against the person's argon2id hash, which it reads through the door
// contract.ConfigGet. A token is a signed note ("v1.<claims>.<mac>", see [signer]) that any node of the cluster can
// check without asking anyone but a small cache of persons, so verification costs microseconds.
//
// State: none of its own. Persons live in services/config; the signing key is the cluster secret "tokens"; a revoked
// token is a key "revoked.<token id>" in the bucket "leases" that lives as long as the token would have. A token also
// ends when its person is disabled, removed, or gets another password: the claims carry a fingerprint of the
// credentials, which is compared with the person's, and roles are always those the person has now.
//
// Strangers learn nothing: a wrong name costs the same argon2 work as a wrong password and gets the same answer, and
// names that do not exist are locked out like those that do.
//
// Limits: at most Config.Verifications argon2 computations at once (19 MiB each) and a bounded line of waiting ones;
// failures are remembered for a bounded number of names and sources, the least recently seen forgotten first; the
// cache of persons is bounded. Failures are counted on each node by itself, so a cluster of n nodes allows n times as
// many.
//
// Not here: who may do what (voice.Principal says it, the edges enforce it), and the pages (package web).
package tenant
