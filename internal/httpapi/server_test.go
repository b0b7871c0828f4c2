package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/obs"
	"parley/internal/voice"
)

const goodToken = "good-token"

// rig is a server with a few operations on a real listener.
type rig struct {
	*Server
	url    string
	addr   string
	health *obs.Health
	log    *lockedBuffer
	stop   func() error
	client *http.Client
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

type echoInput struct {
	Key   string `path:"key"`
	Match string `query:"match"`
	PageParams
}

type echoOutput struct {
	ETag string `header:"ETag"`
	Body echoBody
}

type echoBody struct {
	Key   string `json:"key"`
	Match string `json:"match"`
	User  string `json:"user"`
	Limit int    `json:"limit"`
}

type putInput struct {
	Body struct {
		Password string `json:"password" minLength:"8"`
	}
}

func start(t *testing.T, register func(*Server)) *rig {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "demo_things_total", Help: "A gauge."}, func() float64 { return 3 }))
	r := &rig{health: obs.NewHealth("store"), log: &lockedBuffer{}}
	r.Server = New(Options{
		Service: "demo", Title: "Demo", Version: "1.2.3", Registry: reg, Health: r.health,
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Verify: func(_ context.Context, token string) (voice.Principal, error) {
			switch token {
			case goodToken:
				return voice.Principal{Tenant: "demo", User: "alice"}, nil
			case "down":
				return voice.Principal{}, voice.ErrUnavailable
			}
			return voice.Principal{}, voice.Errorf(voice.ErrUnauthorized, "token %q has expired", token)
		},
	})
	huma.Get(r.API(), "/api/v1/echo/{key}", func(ctx context.Context, in *echoInput) (*echoOutput, error) {
		return &echoOutput{ETag: ETag(7), Body: echoBody{in.Key, in.Match, PrincipalFrom(ctx).User, in.Limit}}, nil
	})
	huma.Put(r.API(), "/api/v1/password", func(context.Context, *putInput) (*struct{}, error) { return nil, nil })
	if register != nil {
		register(r.Server)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	r.url = "http://" + r.addr
	r.client = &http.Client{Transport: &http.Transport{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, ln) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.stop(); err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	return r
}

func (r *rig) do(t *testing.T, method, path, token, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(text)
}

func TestOpenRoutes(t *testing.T) {
	r := start(t, nil)
	resp, body := r.do(t, "GET", "/metrics", "", "")
	if resp.StatusCode != 200 || !strings.Contains(body, "demo_things_total 3") || strings.Contains(body, "go_goroutines") {
		t.Errorf("GET /metrics = %d %q, want only the gauge of the registry", resp.StatusCode, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("Content-Type of /metrics = %q, want the classic text format", ct)
	}
	if resp.Header.Get("Server") != "" {
		t.Errorf("Server = %q, want no banner", resp.Header.Get("Server"))
	}
	if resp, _ := r.do(t, "GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Errorf("GET /healthz = %d, want 200", resp.StatusCode)
	}
}

func TestReadyFollowsHealth(t *testing.T) {
	r := start(t, nil)
	for _, step := range []struct {
		level  obs.Level
		reason string
		status int
	}{
		{obs.LevelStarting, "", 503},
		{obs.LevelPass, "", 200},
		{obs.LevelDegraded, "slow disk", 200},
		{obs.LevelFail, "no disk", 503},
	} {
		r.health.Set("store", step.level, step.reason)
		resp, body := r.do(t, "GET", "/readyz", "", "")
		var got Readiness
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != step.status || got.Level != step.level || got.Checks[0].Reason != step.reason || got.Ready != (step.status == 200) {
			t.Errorf("at level %v: GET /readyz = %d %s", step.level, resp.StatusCode, body)
		}
	}
}

func TestDocumentIsClean(t *testing.T) {
	r := start(t, nil)
	var wg sync.WaitGroup
	for range 4 { // at once: huma's own route would race here
		wg.Go(func() { r.do(t, "GET", "/openapi.json", "", "") })
	}
	wg.Wait()
	_, body := r.do(t, "GET", "/openapi.json", "", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			Security  []map[string][]string
			Responses map[string]struct{ Content map[string]any }
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	get := doc.Paths["/api/v1/echo/{key}"]["get"]
	if len(get.Security) != 1 || get.Responses["default"].Content[problemJSON] == nil {
		t.Errorf("operation = %+v, want a security requirement and a problem as default response", get)
	}
	for _, unwanted := range []string{"$schema", "ErrorModel"} {
		if strings.Contains(body, unwanted) {
			t.Errorf("the document mentions %s", unwanted)
		}
	}
	if doc.Components.Schemas["ProblemDetails"] == nil {
		t.Error("the document does not describe ProblemDetails")
	}
}

func TestOperationsNeedAToken(t *testing.T) {
	r := start(t, nil)
	var first string
	for _, token := range []string{"", "wrong", "expired"} {
		resp, body := r.do(t, "GET", "/api/v1/echo/x", token, "")
		if resp.StatusCode != 401 || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") || resp.Header.Get("Content-Type") != problemJSON {
			t.Errorf("token %q: %d %v %s, want 401 with WWW-Authenticate", token, resp.StatusCode, resp.Header, body)
		}
		if first == "" {
			first = body
		}
		if body != first {
			t.Errorf("token %q gets another answer than none: %s, want %s", token, body, first)
		}
	}
	if resp, _ := r.do(t, "GET", "/api/v1/echo/x", "down", ""); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("verifier away: %d, want 503 with Retry-After", resp.StatusCode)
	}
	resp, body := r.do(t, "GET", "/api/v1/echo/gw%2F1?match=a%20b", goodToken, "")
	want := `{"key":"gw/1","match":"a b","user":"alice","limit":100}`
	if resp.StatusCode != 200 || strings.TrimSpace(body) != want || resp.Header.Get("ETag") != `"7"` || resp.Header.Get("Link") != "" {
		t.Errorf("good token: %d %s %v, want %s", resp.StatusCode, body, resp.Header, want)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	r := start(t, func(s *Server) {
		huma.Get(s.API(), "/api/v1/panic", func(context.Context, *struct{}) (*struct{}, error) { panic("boom with s3cret") })
		huma.Get(s.API(), "/api/v1/raw", func(context.Context, *struct{}) (*struct{}, error) {
			return nil, errors.New("dial tcp 10.0.0.7: refused")
		})
		huma.Get(s.API(), "/api/v1/door", func(context.Context, *struct{}) (*struct{}, error) {
			return nil, Problem(fmt.Errorf("list dns: %w", voice.ErrInternal))
		})
	})
	big := strings.Repeat("x", DefaultMaxBody+1)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		detail                   string
	}{
		{"no route", "GET", "/nothing/here", "", 404, "no such resource"},
		{"wrong method", "POST", "/api/v1/echo/x", "", 405, "Allow"},
		{"too large", "PUT", "/api/v1/password", big, 413, "larger"},
		{"validation", "PUT", "/api/v1/password", `{"password":"hunter2"}`, 422, "validation"},
		{"syntax", "PUT", "/api/v1/password", `{"password":"hunter2"`, 400, "validation"},
		{"unknown query", "GET", "/api/v1/echo/x?lmit=3", "", 422, "validation"},
		{"limit", "GET", "/api/v1/echo/x?limit=5000", "", 422, "validation"},
		{"panic", "GET", "/api/v1/panic", "", 500, "internal error"},
		{"raw error", "GET", "/api/v1/raw", "", 500, "internal error"},
		{"door error", "GET", "/api/v1/door", "", 500, "internal error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := r.do(t, c.method, c.path, goodToken, c.body)
			var p ProblemDetails
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%d %q: %v", resp.StatusCode, body, err)
			}
			if resp.StatusCode != c.status || p.Status != c.status || resp.Header.Get("Content-Type") != problemJSON || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%d %s %s, want %d with %q", resp.StatusCode, resp.Header.Get("Content-Type"), body, c.status, c.detail)
			}
			for _, secret := range []string{"s3cret", "hunter2", "10.0.0.7"} {
				if strings.Contains(body, secret) {
					t.Errorf("the answer tells %q: %s", secret, body)
				}
			}
		})
	}
	for _, want := range []string{"boom", "10.0.0.7", "list dns"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not tell the cause %q:\n%s", want, r.log)
		}
	}
}

func TestLargeBodyWhereAllowed(t *testing.T) {
	got := make(chan int, 1)
	r := start(t, func(s *Server) {
		huma.Register(s.API(), huma.Operation{Method: "POST", Path: "/api/v1/apply", MaxBodyBytes: 3 << 20},
			func(_ context.Context, in *struct{ RawBody []byte }) (*struct{}, error) {
				got <- len(in.RawBody)
				return nil, nil
			})
	})
	body := strings.Repeat("x", 2<<20)
	if resp, text := r.do(t, "POST", "/api/v1/apply?dry_run", goodToken, body); resp.StatusCode != 422 {
		t.Errorf("unknown parameter: %d %s, want 422", resp.StatusCode, text)
	}
	if resp, text := r.do(t, "POST", "/api/v1/apply", goodToken, body); resp.StatusCode != 204 {
		t.Fatalf("2 MiB: %d %s, want 204", resp.StatusCode, text)
	}
	if n := <-got; n != 2<<20 {
		t.Errorf("the operation got %d bytes, want all", n)
	}
	if resp, _ := r.do(t, "POST", "/api/v1/apply", goodToken, strings.Repeat("x", 4<<20)); resp.StatusCode != 413 {
		t.Errorf("4 MiB: %d, want 413", resp.StatusCode)
	}
}

func TestHeaderLimit(t *testing.T) {
	r := start(t, nil)
	resp, body := r.do(t, "GET", "/api/v1/echo/x", strings.Repeat("a", maxHeader), "")
	if resp.StatusCode != 431 || resp.Header.Get("Content-Type") != problemJSON {
		t.Errorf("a header of %d bytes: %d %s, want 431", maxHeader, resp.StatusCode, body)
	}
}

func TestGarbageIsAnsweredAndClosed(t *testing.T) {
	r := start(t, nil)
	for _, garbage := range []string{"\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: -4\r\n\r\n"} {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, garbage)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 4") {
			t.Errorf("%q: answer %q, %v, want 4xx", garbage, line, err)
		}
		c.Close()
	}
}

func TestConnectionsAreCapped(t *testing.T) {
	r := start(t, nil)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range maxConns {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "503") {
		t.Errorf("connection %d: %q, %v, want 503", maxConns+1, line, err)
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	r := start(t, func(s *Server) {
		huma.Get(s.API(), "/api/v1/slow", func(context.Context, *struct{}) (*echoOutput, error) {
			close(entered)
			<-finish
			return &echoOutput{Body: echoBody{Key: "finished"}}, nil
		})
	})
	r.do(t, "GET", "/healthz", "", "") // leaves an idle connection behind
	idle, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	answer := make(chan string, 1)
	go func() {
		_, body := r.do(t, "GET", "/api/v1/slow", goodToken, "")
		answer <- body
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	<-r.Stopping()
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned %v with a request in progress", err)
	default:
	}
	close(finish)
	if body := <-answer; !strings.Contains(body, "finished") {
		t.Errorf("the request in progress got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("the listener is still open")
	}
}

func TestStreamOutlivesTheWriteTimeoutOfOneWrite(t *testing.T) {
	r := start(t, func(s *Server) {
		s.App().Get("/events", s.RequireToken, func(c *fiber.Ctx) error {
			user := PrincipalFrom(c.UserContext()).User
			c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
				fmt.Fprintf(w, "data: %s\n\n", user)
				w.Flush()
				<-s.Stopping()
				fmt.Fprint(w, "data: bye\n\n")
			})
			return nil
		})
	})
	if resp, _ := r.do(t, "GET", "/events", "wrong", ""); resp.StatusCode != 401 {
		t.Errorf("without a token: %d, want 401", resp.StatusCode)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url+"/events", nil)
	req.Header.Set("Authorization", "bearer "+goodToken)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 64)
	n, err := resp.Body.Read(buf)
	if got := string(buf[:n]); got != "data: alice\n\n" {
		t.Fatalf("first event = %q, %v", got, err)
	}
	go r.stop()
	rest, err := io.ReadAll(resp.Body)
	if string(rest) != "data: bye\n\n" || err != nil {
		t.Errorf("end of stream = %q, %v", rest, err)
	}
}
