package control

import (
	"context"
	"net/http"

	"parley/internal/contract"
	"parley/internal/obs"
)

// Remote is a client of a platform elsewhere, over REST.
type Remote struct {
	base  string
	token obs.Secret
	http  *http.Client
}

// NewRemote returns a client; it connects when it is used.
func NewRemote(base string, token obs.Secret) (*Remote, error) {
	return &Remote{base: base, token: token, http: &http.Client{}}, nil
}

// Apply makes the configuration what req says, as the person the token stands for.
func (r *Remote) Apply(ctx context.Context, req contract.ConfigApplyRequest) (res contract.ConfigApplyResponse, err error) {
	return res, roundTrip(ctx, r.http, http.MethodPost, r.base+"/api/v1/apply", r.token.Reveal(), req, &res)
}

// Export gives back the configuration.
func (r *Remote) Export(ctx context.Context, req contract.ConfigExportRequest) (res contract.ConfigExportResponse, err error) {
	return res, roundTrip(ctx, r.http, http.MethodGet, r.base+"/api/v1/export", r.token.Reveal(), nil, &res)
}
