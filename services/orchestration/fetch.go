package orchestration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fetcher gets documents and asks services on the web. Connections are kept and used again. Where Config.FetchInternal is false it
// connects to public addresses only; that is checked when the address of a name is known, so no name leads around it.
type fetcher struct {
	client *http.Client
	max    int64

	mu    sync.Mutex
	cache map[string]*cachedDocument // by address; a full cache starts again from nothing
}

// cachedDocument is a document with what it takes to ask whether it is still the same.
type cachedDocument struct {
	body  []byte
	etag  string
	fresh time.Time // until then nobody is asked
}

const (
	maxDocuments = 500
	freshFor     = 5 * time.Second // of a document whose server says nothing about it
	maxRedirects = 5
)

func newFetcher(c Config) *fetcher {
	dialer := &net.Dialer{Timeout: c.FetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if c.FetchInternal {
			return nil
		}
		return public(address)
	}}
	return &fetcher{
		max: int64(c.FetchMax), cache: map[string]*cachedDocument{},
		client: &http.Client{
			Timeout: c.FetchTimeout,
			Transport: &http.Transport{
				DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, IdleConnTimeout: time.Minute,
				TLSHandshakeTimeout: c.FetchTimeout, ForceAttemptHTTP2: true,
			},
			CheckRedirect: func(_ *http.Request, via []*http.Request) error {
				if len(via) >= maxRedirects {
					return errors.New("more redirections than five")
				}
				return nil
			},
		},
	}
}

// errInternal says that an address is not for scripts.
var errInternal = errors.New("the address is internal, and orchestration.fetch_internal is off")

func public(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || shared.Contains(ip) {
		return fmt.Errorf("%s: %w", ip, errInternal)
	}
	return nil
}

// shared is the address space between a carrier and its customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// answer is what a service said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask makes one request.
func (f *fetcher) ask(ctx context.Context, method, url string, header http.Header, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is neither http nor https", req.URL.Scheme)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, f.max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > f.max {
		return nil, fmt.Errorf("the answer is longer than %d bytes", f.max)
	}
	return &answer{res.StatusCode, res.Header, text}, nil
}

// document gets a document, from memory as long as its server allows. err tells why it could not be had; a copy that was had
// before is returned with it, for who prefers an old document to none.
func (f *fetcher) document(ctx context.Context, url string) (body []byte, err error) {
	f.mu.Lock()
	kept := f.cache[url]
	f.mu.Unlock()
	header := http.Header{"Accept": {"application/scxml+xml, application/xml, text/xml, */*;q=0.1"}}
	if kept != nil {
		if time.Now().Before(kept.fresh) {
			return kept.body, nil
		}
		body = kept.body
		if kept.etag != "" {
			header.Set("If-None-Match", kept.etag)
		}
	}
	a, err := f.twice(ctx, url, header)
	if err != nil {
		return body, err
	}
	switch {
	case a.status == http.StatusNotModified && kept != nil:
		a.body = kept.body
	case a.status != http.StatusOK:
		return body, fmt.Errorf("%s answers %d", url, a.status)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cache) >= maxDocuments {
		clear(f.cache)
	}
	f.cache[url] = &cachedDocument{body: a.body, etag: a.header.Get("ETag"), fresh: time.Now().Add(freshness(a.header))}
	return a.body, nil
}

// twice asks again when the first attempt failed before an answer: a kept connection may just have been closed.
func (f *fetcher) twice(ctx context.Context, url string, header http.Header) (*answer, error) {
	a, err := f.ask(ctx, http.MethodGet, url, header, nil)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errInternal) {
		a, err = f.ask(ctx, http.MethodGet, url, header, nil)
	}
	return a, err
}

// freshness is how long a document needs not be asked about (RFC 9111 §5.2.2).
func freshness(h http.Header) time.Duration {
	for _, d := range strings.Split(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			if n, err := strconv.Atoi(value); err == nil && n >= 0 && n <= 24*3600 {
				return time.Duration(n) * time.Second
			}
		}
	}
	return freshFor
}
