package web

import (
	"context"
	"sync"

	"parley/internal/contract"
	"parley/internal/fabric"
)

// stateView is whether a number is registered, in a word.
type stateView struct {
	Registered bool
	Unknown    bool // the registrar did not answer
	Count      int
	Phone      string // user agent of the first contact
}

// bindingsView is where a number is registered.
type bindingsView struct {
	Base     string // path of the extension's page
	Unknown  bool
	MayWrite bool
	CSRF     string
	Bindings []contract.Binding
}

// bindingsOf asks the registrar.
func (s *Server) bindingsOf(ctx context.Context, tenant, dn string) *bindingsView {
	v := &bindingsView{Base: tenantPath(tenant, "extensions", dn)}
	resp, err := fabric.Call(ctx, s.f, contract.Bindings, contract.BindingsRequest{Tenant: tenant, DN: dn})
	if err != nil {
		v.Unknown = true
		return v
	}
	v.Bindings = resp.Bindings
	return v
}

func (v *bindingsView) state() stateView {
	st := stateView{Registered: len(v.Bindings) > 0, Unknown: v.Unknown, Count: len(v.Bindings)}
	if st.Registered {
		st.Phone = v.Bindings[0].UserAgent
	}
	return st
}

func (s *Server) stateOf(ctx context.Context, tenant, dn string) stateView {
	return s.bindingsOf(ctx, tenant, dn).state()
}

// statesOf asks for several numbers, some at a time: the registrar may be on another node.
func (s *Server) statesOf(ctx context.Context, tenant string, dns []string) []stateView {
	const atOnce = 8
	out := make([]stateView, len(dns))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(atOnce, len(dns)) {
		wg.Go(func() {
			for i := range next {
				out[i] = s.stateOf(ctx, tenant, dns[i])
			}
		})
	}
	for i := range dns {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}
