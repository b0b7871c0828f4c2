//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

// client asks over REST.
type client struct {
	front, calls string // where tenants are
	token        string
	http         *http.Client
}

func newClient(token string) *client {
	return &client{token: token, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}}}
}

// answer is what a request was answered.
type answer struct {
	status int
	code   voice.TErrorCode // 0 = accepted
	text   string           // why not, as a client sees it
	took   time.Duration
}

// ask makes a request. The error is that there was no answer at all.
func (c *client) ask(ctx context.Context, r *voice.Request) (a answer, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	began := time.Now()
	text, status, err := c.do(ctx, http.MethodPost, c.front+"/requests", body)
	a = answer{status: status, text: string(text), took: time.Since(began)}
	if err != nil || status < 300 {
		return a, err
	}
	var e struct {
		Code voice.TErrorCode `json:"ErrorCode"`
	}
	_ = json.Unmarshal(text, &e) // a problem document has none
	a.code = e.Code
	return a, nil
}

// of returns the calls of a DN.
func (c *client) of(ctx context.Context, dn string) ([]voice.Call, error) {
	text, status, err := c.do(ctx, http.MethodGet, c.calls+"/calls?dn="+dn, nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("calls of %s: %d %s", dn, status, text)
	}
	var r contract.FindCallsResponse
	return r.Calls, json.Unmarshal(text, &r)
}

func (c *client) do(ctx context.Context, method, url string, body []byte) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return text, res.StatusCode, err
}
