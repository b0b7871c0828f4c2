// Package config serves the configuration of the platform: tenants and everything provisioned for them (design §5),
// by doors, by REST and by whole provisioning files.
//
// State: all in internal/store. Of its own the service has nothing but counters.
//
// A write is planned: what is there is read, what is wanted is checked against it (syntax, references, uniqueness,
// versions, rights), secrets become hashes, and out comes a list of mutations or a list of everything that is wrong.
// The store takes the plan only if nothing was written since, else the plan is made anew; see planner. So a file with
// one bad entry changes nothing, and two writers of one version never both succeed.
//
// Passwords come in as typed and are stored as what verification needs (internal/passwd). They never come out, not
// in history, not in a diff, not in a log; hashes only to callers that ask for secrets, which REST allows in an export
// by those who may write.
//
// Changes are announced on the stream CONFIG after they are on disk, from the table of changes and with a mark of how
// far that has come; so a node that dies in between announces them when it is back, or another node of the cluster
// does. The message id is the number of the change: one announced twice arrives once.
//
// Limits: problems reported at once, bytes of a file, depth of its nesting, entries and bytes of a page, sizes of every
// field (check.go).
//
// Not here: what options mean to those who read them, and the directory other services keep (contract.Directory).
package config
