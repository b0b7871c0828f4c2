package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// failing gives some text and then an error.
type failing struct{ io.Reader }

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the rest cannot be read")
	}
	return n, err
}

func TestStream(t *testing.T) {
	const size = 4 << 20 // more than any buffer on the way
	r := start(t, func(s *Server) {
		for path, body := range map[string]func() io.Reader{
			"/whole":  func() io.Reader { return strings.NewReader(strings.Repeat("x", size)) },
			"/broken": func() io.Reader { return failing{strings.NewReader(strings.Repeat("x", size))} },
		} {
			huma.Get(s.API(), path, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
				return Stream(body(), "Content-Type", "text/x-test"), nil
			})
		}
	})
	for path, whole := range map[string]bool{"/whole": true, "/broken": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+goodToken)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/x-test" || (err == nil) != whole || whole && n != size {
			t.Errorf("GET %s = %d, %d bytes, %v, want the end known to be whole: %v", path, resp.StatusCode, n, err, whole)
		}
	}
	if resp, _ := r.do(t, "GET", "/whole", "wrong", ""); resp.StatusCode != 401 {
		t.Errorf("without a token: %d, want 401", resp.StatusCode)
	}
}
