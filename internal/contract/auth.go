package contract

import (
	"net/netip"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// Doors of services/tenant for people and tokens.
var (
	SignIn      = fabric.NewDoor[SignInRequest, Session]("tenant", "sign-in", 5*time.Second)
	IssueToken  = fabric.NewDoor[IssueTokenRequest, Session]("tenant", "issue-token", 2*time.Second)
	VerifyToken = fabric.NewDoor[string, voice.Principal]("tenant", "verify-token", 2*time.Second)
	RevokeToken = fabric.NewDoor[string, struct{}]("tenant", "revoke-token", 2*time.Second)
)

// SignInRequest is a name and a password. Wrong name, wrong password, disabled person and locked-out name all get
// the same voice.ErrUnauthorized after the same work; after too many failures voice.ErrOverloaded for source and name.
type SignInRequest struct {
	Tenant   string // "" = the default tenant
	User     string
	Password string
	Source   netip.Addr
	TTL      time.Duration // 0 = 12 h
}

// IssueTokenRequest makes a token for a person without a password; only the node's own command line and a
// signed-in administrator reach it.
type IssueTokenRequest struct {
	Tenant string // "" = the default tenant
	User   string
	TTL    time.Duration // 0 = 24 h
	By     string
}

// Session is a bearer token and who it stands for.
type Session struct {
	Token     string          `json:"token"`
	Principal voice.Principal `json:"principal"`
	Expires   time.Time       `json:"expires"`
}
