package httpapi

import (
	"context"
	"runtime"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// TestServerIsLight holds what an idle server costs: a node runs about eight of them.
func TestServerIsLight(t *testing.T) {
	const servers, limit = 20, 300 << 10
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	build := func() *Server {
		s := New(Options{Service: "demo", Title: "Demo", Version: "1", Registry: prometheus.NewRegistry()})
		for _, path := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			huma.Get(s.API(), "/api/v1/"+path+"/{key}", func(context.Context, *echoInput) (*echoOutput, error) { return nil, nil })
			huma.Put(s.API(), "/api/v1/"+path, func(context.Context, *putInput) (*struct{}, error) { return nil, nil })
		}
		s.App().Handler()
		return s
	}
	build() // what is paid once
	before := heap()
	var kept []*Server
	for range servers {
		kept = append(kept, build())
	}
	each := int64(heap()-before) / servers
	runtime.KeepAlive(kept)
	t.Logf("%d bytes a server", each)
	if each > limit {
		t.Errorf("an idle server holds %d bytes, want at most %d", each, limit)
	}
}
