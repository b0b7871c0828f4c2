package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/obs"
)

// Remote is a client of a platform elsewhere, over the REST interfaces of its services.
type Remote struct {
	base  string
	token obs.Secret
	http  *http.Client
}

// NewRemote returns a client for the service at base, such as http://127.0.0.1:9100; it connects when it is used.
func NewRemote(base string, token obs.Secret) (*Remote, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--url: %q is no address; want one such as http://127.0.0.1:9100", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // the proxy of the environment applies
	transport.DisableKeepAlives = true                           // one command, one request
	return &Remote{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{Transport: transport}}, nil
}

// Apply makes the configuration what req says, as the person the token stands for. The address is that of
// services/config.
func (r *Remote) Apply(ctx context.Context, req contract.ConfigApplyRequest) (res contract.ConfigApplyResponse, err error) {
	return res, r.ask(ctx, http.MethodPost, "/api/v1/apply", req, &res)
}

// Export gives back the configuration. The address is that of services/config.
func (r *Remote) Export(ctx context.Context, req contract.ConfigExportRequest) (res contract.ConfigExportResponse, err error) {
	return res, r.ask(ctx, http.MethodGet, "/api/v1/export?"+exportQuery(req), nil, &res)
}

// Cluster asks for the status of all nodes. The address is that of the queue service, rq, of one of them.
func (r *Remote) Cluster(ctx context.Context) (c Cluster, err error) {
	return c, r.ask(ctx, http.MethodGet, "/api/v1/nodes", nil, &c)
}

// Resolve asks what a dialled number means. The address is that of services/dialplan.
func (r *Remote) Resolve(ctx context.Context, req *contract.ResolveRequest) (res *contract.ResolveResponse, err error) {
	q := url.Values{"number": {req.Dialled}, "explain": {strconv.FormatBool(req.Explain)}}
	for name, value := range map[string]string{"from": req.From, "trunk": req.Trunk} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if !req.At.IsZero() {
		q.Set("at", req.At.Format(time.RFC3339))
	}
	return res, r.ask(ctx, http.MethodGet, "/api/v1/tenants/"+url.PathEscape(req.Tenant)+"/resolve?"+q.Encode(), nil, &res)
}

func (r *Remote) ask(ctx context.Context, method, path string, body, into any) error {
	return roundTrip(ctx, r.http, method, r.base+path, r.token.Reveal(), body, into)
}
