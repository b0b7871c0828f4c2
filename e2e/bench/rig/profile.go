package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// Profile fetches a profile of net/http/pprof, such as "allocs" or "profile?seconds=5", from the control socket of a
// node and writes it to file.
func Profile(ctx context.Context, socket, what, file string) error {
	body, err := Control(ctx, socket, "/debug/pprof/"+what)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = f.ReadFrom(body)
	return errors.Join(err, f.Close())
}

// Control asks a node by its control socket; the caller closes what it gets.
func Control(ctx context.Context, socket, path string) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return res.Body, nil
}
