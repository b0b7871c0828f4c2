package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/httpapi"
	"parley/internal/voice"
)

// web is the interface by which programs start sessions and talk to them, in the shape that they know. Requests need a bearer
// token, except for /ors/help and /heartbeat; a session belongs to a tenant, by default that of who asks.
type web struct {
	svc    *Service
	verify httpapi.Verifier
}

// methods are what /ors/help lists.
var methods = [...]struct{ Method, Path, About string }{
	{"POST", "/scxml/session/start", "start a session: src (script of the tenant or address of a document), idealtime (epoch in ms), tenant; all else are its parameters"},
	{"GET, POST", "/scxml/session/{sid}/event/{name}", "an event for the session; parameters are its data"},
	{"GET, POST", "/scxml/session/{sid}/request/{name}", "an event that the session answers with session:response"},
	{"GET", "/scxml/session/{sid}/query", "what the session knows"},
	{"POST", "/scxml/session/{sid}/terminate", "end the session"},
	{"GET", "/ors/help", "this list"},
	{"GET", "/heartbeat/", "is this node alive"},
}

// Routes adds the interface to an HTTP server.
func (svc *Service) Routes(s *httpapi.Server, verify httpapi.Verifier) {
	w := &web{svc, verify}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /scxml/session/start", w.guarded(w.start))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		mux.HandleFunc(method+" /scxml/session/{sid}/event/{name}", w.guarded(w.command(contract.SessionEvent)))
		mux.HandleFunc(method+" /scxml/session/{sid}/request/{name}", w.guarded(w.command(contract.SessionRequest)))
	}
	mux.HandleFunc("GET /scxml/session/{sid}/query", w.guarded(w.command(contract.SessionQuery)))
	mux.HandleFunc("POST /scxml/session/{sid}/terminate", w.guarded(w.command(contract.SessionTerminate)))
	mux.HandleFunc("GET /ors/help", func(rw http.ResponseWriter, _ *http.Request) {
		list := []map[string]string{}
		for _, m := range methods {
			list = append(list, map[string]string{"method": m.Method, "path": m.Path, "about": m.About})
		}
		writeJSON(rw, http.StatusOK, map[string]any{"methods": list})
	})
	mux.HandleFunc("GET /heartbeat/{$}", func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, http.StatusOK, map[string]any{"node": svc.f.Node(), "sessions": svc.Running()})
	})
	s.Mount("/scxml/", mux)
	s.Mount("/ors/", mux)
	s.Mount("/heartbeat/", mux)
}

// guarded asks for a token.
func (w *web) guarded(fn func(rw http.ResponseWriter, r *http.Request, who voice.Principal) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		err := error(voice.ErrUnauthorized)
		if ok {
			var who voice.Principal
			if who, err = w.verify(r.Context(), token); err == nil {
				err = fn(rw, r, who)
			}
		}
		if err != nil {
			writeError(rw, err)
		}
	}
}

// fields are the parameters of a request: those of its address and those of its body, which is a form or JSON.
func fields(r *http.Request) (map[string]any, error) {
	out := map[string]any{}
	add := func(q url.Values) {
		for k, list := range q {
			if len(list) == 1 {
				out[k] = list[0]
				continue
			}
			all := make([]any, len(list))
			for i, v := range list {
				all[i] = v
			}
			out[k] = all
		}
	}
	add(r.URL.Query())
	kind := r.Header.Get("Content-Type")
	switch {
	case r.Body == nil || r.ContentLength == 0:
	case strings.HasPrefix(kind, "application/json"):
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil, voice.Errorf(voice.ErrInvalid, "the body is no JSON object: %v", err)
		}
		for k, v := range body {
			out[k] = v
		}
	default:
		if err := r.ParseForm(); err != nil {
			return nil, voice.Errorf(voice.ErrInvalid, "the body is no form: %v", err)
		}
		add(r.PostForm)
	}
	return out, nil
}

// tenantOf is the tenant that a request is about.
func tenantOf(params map[string]any, who voice.Principal) string {
	tenant, ok := params["tenant"].(string)
	if !ok || tenant == "" {
		return who.Tenant
	}
	delete(params, "tenant")
	return tenant
}

func (w *web) start(rw http.ResponseWriter, r *http.Request, who voice.Principal) error {
	params, err := fields(r)
	if err != nil {
		return err
	}
	tenant := tenantOf(params, who)
	if !who.MayWrite(tenant) {
		return voice.ErrForbidden
	}
	src, _ := params["src"].(string)
	delete(params, "src")
	if src == "" {
		return voice.Errorf(voice.ErrInvalid, "src is missing: a script of the tenant, or the address of a document")
	}
	var at time.Time
	switch v := params["idealtime"].(type) {
	case nil:
	case string:
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return voice.Errorf(voice.ErrInvalid, "idealtime %q is no time in ms since 1970", v)
		}
		at = time.UnixMilli(ms)
	case float64:
		at = time.UnixMilli(int64(v))
	}
	delete(params, "idealtime")
	id, err := w.svc.startBy(r.Context(), tenant, src, params, at)
	if err != nil {
		return err
	}
	writeJSON(rw, http.StatusOK, map[string]any{"sessionid": id})
	return nil
}

// command does something to a session. Reading one is for who may read the tenant, all else for who may change it.
func (w *web) command(what string) func(http.ResponseWriter, *http.Request, voice.Principal) error {
	return func(rw http.ResponseWriter, r *http.Request, who voice.Principal) error {
		params, err := fields(r)
		if err != nil {
			return err
		}
		tenant := tenantOf(params, who)
		if what == contract.SessionQuery && !who.MayRead(tenant) || what != contract.SessionQuery && !who.MayWrite(tenant) {
			return voice.ErrForbidden
		}
		out, err := w.svc.command(r.Context(), &contract.SessionCommandRequest{
			Tenant: tenant, ID: r.PathValue("sid"), Do: what, Event: r.PathValue("name"), Data: params,
		})
		if err != nil {
			return err
		}
		switch what {
		case contract.SessionRequest:
			writeJSON(rw, out.Status, out.Content)
		case contract.SessionQuery:
			writeJSON(rw, http.StatusOK, map[string]any{"session": out.Session, "data": out.Data})
		default:
			writeJSON(rw, http.StatusOK, map[string]any{"sessionid": out.Session.ID})
		}
		return nil
	}
}

func writeJSON(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v) // to memory
}

func writeError(rw http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	for sentinel, code := range map[error]int{
		voice.ErrNotFound: http.StatusNotFound, voice.ErrInvalid: http.StatusBadRequest, voice.ErrUnauthorized: http.StatusUnauthorized,
		voice.ErrForbidden: http.StatusForbidden, voice.ErrOverloaded: http.StatusServiceUnavailable,
		voice.ErrUnavailable: http.StatusServiceUnavailable, voice.ErrTimeout: http.StatusGatewayTimeout, context.DeadlineExceeded: http.StatusGatewayTimeout,
	} {
		if errors.Is(err, sentinel) {
			status = code
		}
	}
	text := err.Error()
	if status == http.StatusInternalServerError {
		text = "internal error"
	}
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": text})
}
