// Package passwd turns passwords into what verification needs, and back into yes or no: argon2id for people
// (RFC 9106), digest HA1 for SIP accounts (RFC 8760).
//
// It has no state and may be used by many at once; each Hash or Verify of a person's password takes [MemoryKiB] of
// memory and some tens of milliseconds, so whoever calls for strangers bounds how many run at a time.
//
// Not here: lock-out, sessions (services/tenant) and digest challenges (internal/sipua/digest).
package passwd
