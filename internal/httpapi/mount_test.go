package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
)

func TestMount(t *testing.T) {
	r := start(t, func(s *Server) {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /old/{name}/x", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, "%s %s %s %v", r.PathValue("name"), r.URL.Query().Get("q"), body, err)
		})
		s.Mount("/old/", mux)
	})
	resp, body := r.do(t, "POST", "/old/a%20b/x?q=1", "", "hello")
	if resp.StatusCode != http.StatusAccepted || body != "a b 1 hello <nil>" || len(resp.Header.Values("Set-Cookie")) != 2 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	if resp, _ := r.do(t, "GET", "/old/nothing", "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("what is not there: %d", resp.StatusCode)
	}
	if resp, _ := r.do(t, "GET", "/healthz", "", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("what is beside it: %d", resp.StatusCode)
	}
}

func TestMountedHandlersMayKeepWhatTheyGet(t *testing.T) {
	var kept []string // of all requests
	r := start(t, func(s *Server) {
		s.Mount("/old/", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			kept = append(kept, r.Header.Get("Authorization"), r.URL.Path, r.RequestURI)
		}))
	})
	for _, who := range []string{"first", "other", "third"} { // on one connection
		r.do(t, "GET", "/old/"+who, who, "")
	}
	want := []string{"Bearer first", "/old/first", "/old/first", "Bearer other", "/old/other", "/old/other", "Bearer third", "/old/third", "/old/third"}
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
}
