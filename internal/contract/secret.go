package contract

import (
	"time"

	"parley/internal/fabric"
)

// ClusterSecret gives 32 random bytes that all nodes share under a name: made on first use, kept in the store. Digest
// nonces, session tokens and flow tokens are signed with such secrets, so that every node accepts what another made.
// Served by services/config; never offered over REST.
var ClusterSecret = fabric.NewDoor[string, []byte]("config", "cluster-secret", 5*time.Second)
