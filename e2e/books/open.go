package books

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/fabric"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
	"parley/services/rq"
)

// Open reads the books of a tenant from the data directory of a node that has stopped and had everything at its
// default place. Records come from SQLite.
func Open(ctx context.Context, dataDir, node, tenant string) (b Books, err error) {
	if b.Records, err = records(ctx, dataDir, tenant); err != nil {
		return b, err
	}
	queue, err := rq.New(rq.Config{Node: node, StoreDir: filepath.Join(dataDir, "jetstream"), MaxMemory: 256 << 20, MaxStore: 8 << 30}, prometheus.NewRegistry(), nil)
	if err != nil {
		return b, err
	}
	if err := queue.Start(ctx); err != nil {
		return b, err
	}
	defer queue.Stop()
	f, err := fabric.Connect(ctx, fabric.Options{Node: node, Server: queue})
	if err != nil {
		return b, err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, f.Close(last))
	}()
	if b.Events, err = Events(ctx, f, tenant); err != nil {
		return b, err
	}
	b.Voices, err = voices(ctx, f, tenant)
	return b, err
}

// Events reads what CALLS holds of a tenant now.
func Events(ctx context.Context, f *fabric.Fabric, tenant string) ([]voice.CallEvent, error) {
	const all = 1 << 30
	messages, err := f.Read(ctx, fabric.StreamCalls, fabric.Filter("call", tenant, fabric.Rest), all)
	if err != nil {
		return nil, err
	}
	events := make([]voice.CallEvent, len(messages))
	for i, m := range messages {
		if err := json.Unmarshal(m.Data, &events[i]); err != nil {
			return nil, fmt.Errorf("event %d of CALLS: %w", m.Seq, err)
		}
		if e := events[i]; len(m.Subject) != 4 || m.Subject[1] != e.Tenant || m.Subject[2] != e.CallUUID || m.Subject[3] != string(e.ID) {
			return nil, fmt.Errorf("event %d of CALLS is %+v, under the subject %q", m.Seq, e, m.Subject)
		}
	}
	return events, nil
}

// voices reads what QUALITY holds of a tenant now.
func voices(ctx context.Context, f *fabric.Fabric, tenant string) ([]voice.QualityEvent, error) {
	const all = 1 << 30
	messages, err := f.Read(ctx, fabric.StreamQuality, fabric.Filter("quality", tenant, fabric.Rest), all)
	if err != nil {
		return nil, err
	}
	events := make([]voice.QualityEvent, len(messages))
	for i, m := range messages {
		if err := json.Unmarshal(m.Data, &events[i]); err != nil {
			return nil, fmt.Errorf("event %d of QUALITY: %w", m.Seq, err)
		}
		if e := events[i]; len(m.Subject) != 3 || m.Subject[1] != e.Tenant || m.Subject[2] != e.CallUUID {
			return nil, fmt.Errorf("event %d of QUALITY is %+v, under the subject %q", m.Seq, e, m.Subject)
		}
	}
	return events, nil
}

func records(ctx context.Context, dataDir, tenant string) (out []voice.CDR, err error) {
	store, err := cdrs.Open(ctx, "", dataDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for q := (cdrs.Query{Tenant: tenant, Limit: cdrs.MaxPage}); ; {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Records...)
		if q.After = page.Next; q.After == "" {
			return out, nil
		}
	}
}
