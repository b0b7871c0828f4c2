package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// Local is a client of the node that runs with a data directory.
type Local struct {
	dataDir string
	http    *http.Client
}

// NewLocal returns a client; it connects when it is used.
func NewLocal(dataDir string) *Local {
	return &Local{dataDir: dataDir, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // one command, one request
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dataDir) },
	}}}
}

// Cluster asks for the status of all nodes.
func (l *Local) Cluster(ctx context.Context) (c Cluster, err error) {
	return c, l.ask(ctx, http.MethodGet, "/cluster", nil, &c)
}

// Apply makes the configuration what req says, as the account that runs this process.
func (l *Local) Apply(ctx context.Context, req contract.ConfigApplyRequest) (res contract.ConfigApplyResponse, err error) {
	return res, l.ask(ctx, http.MethodPost, "/apply", req, &res)
}

// Export gives back the configuration.
func (l *Local) Export(ctx context.Context, req contract.ConfigExportRequest) (res contract.ConfigExportResponse, err error) {
	return res, l.ask(ctx, http.MethodGet, "/export?"+exportQuery(req), nil, &res)
}

func exportQuery(req contract.ConfigExportRequest) string {
	return url.Values{"tenant": {req.Tenant}, "secrets": {strconv.FormatBool(req.Secrets)}}.Encode()
}

// IssueToken makes a token for a person.
func (l *Local) IssueToken(ctx context.Context, tenant, user string, ttl time.Duration) (s contract.Session, err error) {
	return s, l.ask(ctx, http.MethodPost, "/token", TokenRequest{Tenant: tenant, User: user, TTL: ttl.String()}, &s)
}

// Resolve asks what a dialled number means.
func (l *Local) Resolve(ctx context.Context, req *contract.ResolveRequest) (res *contract.ResolveResponse, err error) {
	return res, l.ask(ctx, http.MethodPost, "/dial", req, &res)
}

// Treat applies a treatment to a call at a route point.
func (l *Local) Treat(ctx context.Context, req *contract.TreatmentRequest) (res *contract.RequestAnswer, err error) {
	return res, l.ask(ctx, http.MethodPost, "/treat", req, &res)
}

// Route sends a call at a route point to a number.
func (l *Local) Route(ctx context.Context, req *contract.RouteCallRequest) (res *contract.RequestAnswer, err error) {
	return res, l.ask(ctx, http.MethodPost, "/route", req, &res)
}

// Request makes a T-Library request.
func (l *Local) Request(ctx context.Context, req *voice.Request) (res *contract.RequestAnswer, err error) {
	return res, l.ask(ctx, http.MethodPost, "/request", req, &res)
}

func (l *Local) ask(ctx context.Context, method, path string, body, into any) error {
	err := roundTrip(ctx, l.http, method, "http://node"+path, "", body, into)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no node is running with data directory %s; start it with `parley serve`, or name another with --data-dir", l.dataDir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to use %s; run as the account that runs the node", SocketPath(l.dataDir))
	}
	return err
}

// roundTrip sends body as JSON and reads the answer into into; an error answer comes back as the error it was made from.
func roundTrip(ctx context.Context, client *http.Client, method, url, token string, body, into any) error {
	var out io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		out = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, out)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", req.URL.Path, err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return httpapi.ReadProblem(res.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("the answer of %s is not what this version of parley expects: %w", req.URL.Path, err)
	}
	return nil
}

// maxAnswer bounds what a node can make a command keep in memory.
const maxAnswer = 256 << 20
