package registrar

import (
	"cmp"
	"container/heap"
	"context"
	"strings"

	"parley/internal/contract"
	"parley/internal/voice"
)

// Bindings returns the contacts in force of one number, the best first. A number without any is no error.
func (s *Service) Bindings(_ context.Context, req contract.BindingsRequest) (contract.BindingsResponse, error) {
	t, ok := s.index.known(req.Tenant)
	if !ok {
		return contract.BindingsResponse{}, nil
	}
	bs, err := s.public(aorKey{t, req.DN})
	return contract.BindingsResponse{Bindings: bs}, err
}

// public returns the contacts in force of a number as other services see them.
func (s *Service) public(k aorKey) ([]contract.Binding, error) {
	data, _ := s.index.record(k)
	if data == "" {
		return nil, nil
	}
	_, all, err := decodeRecord(data, nil)
	if err != nil {
		return nil, voice.Errorf(voice.ErrInternal, "record of %s/%s: %v", k.tenant.name, k.dn, err)
	}
	sortBindings(all)
	now := s.nowMS()
	var out []contract.Binding
	for i := range all {
		if all[i].live(now) {
			out = append(out, all[i].public())
		}
	}
	return out, nil
}

// Limits of a page of registrations.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Registrations returns a page of registered numbers. It looks at every number once and keeps only the page.
func (s *Service) Registrations(_ context.Context, req contract.RegistrationsRequest) (contract.RegistrationsResponse, error) {
	limit := req.Limit
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 0 || limit > maxPage {
		return contract.RegistrationsResponse{}, voice.Invalid(voice.FieldError{Field: "limit", Reason: "is not between 1 and 1000"})
	}
	var after [2]string
	if req.After != "" {
		var ok bool
		if after[0], after[1], ok = strings.Cut(req.After, "/"); !ok {
			return contract.RegistrationsResponse{}, voice.Invalid(voice.FieldError{Field: "after", Reason: "is not tenant/number"})
		}
	}
	page, total, more := s.index.page(req.Tenant, req.Match, after, limit)
	var resp contract.RegistrationsResponse
	_, contacts := s.index.totals()
	resp.Contacts, resp.Total = int(contacts), total
	for _, k := range page {
		bs, err := s.public(k)
		if err != nil {
			return contract.RegistrationsResponse{}, err
		}
		if len(bs) > 0 { // else it ended a moment ago
			resp.Registrations = append(resp.Registrations, contract.Registration{Tenant: k.tenant.name, DN: k.dn, Bindings: bs})
		}
	}
	if more {
		last := page[len(page)-1]
		resp.Next = last.tenant.name + "/" + last.dn
	}
	return resp, nil
}

// keyHeap holds the smallest keys seen, the biggest of them on top.
type keyHeap []aorKey

func compareKeys(a, b aorKey) int {
	return cmp.Or(strings.Compare(a.tenant.name, b.tenant.name), strings.Compare(a.dn, b.dn))
}

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return compareKeys(h[i], h[j]) > 0 }
func (h keyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyHeap) Push(x any)        { *h = append(*h, x.(aorKey)) }
func (h *keyHeap) Pop() any {
	last := len(*h) - 1
	k := (*h)[last]
	*h = (*h)[:last]
	return k
}

// page returns, in order, the first limit registered numbers behind after, and how many match in all. more tells
// whether others follow.
func (x *index) page(tenant, match string, after [2]string, limit int) (page []aorKey, total int, more bool) {
	h := make(keyHeap, 0, limit+1)
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		for k, a := range s.aors {
			if a.alive == 0 || tenant != "" && k.tenant.name != tenant || match != "" && !strings.Contains(k.dn, match) {
				continue
			}
			total++
			if cmp.Or(strings.Compare(k.tenant.name, after[0]), strings.Compare(k.dn, after[1])) <= 0 {
				continue
			}
			if len(h) > limit && compareKeys(k, h[0]) >= 0 {
				continue
			}
			heap.Push(&h, k)
			if len(h) > limit+1 {
				heap.Pop(&h)
			}
		}
		s.mu.RUnlock()
	}
	more = len(h) > limit
	if more {
		heap.Pop(&h)
	}
	page = make([]aorKey, len(h))
	for i := len(h) - 1; i >= 0; i-- {
		page[i] = heap.Pop(&h).(aorKey)
	}
	return page, total, more
}

// removal is a planner that ends the contacts it picks.
type removal struct {
	pick  func(*binding) bool
	why   string
	found bool
}

func (r *removal) reason() string { return r.why }

func (r *removal) plan(j *job, _ int64) bool {
	r.found = false
	for i := range j.old {
		if r.pick(&j.old[i]) {
			r.found = true
		} else {
			j.next = append(j.next, j.old[i])
		}
	}
	return r.found
}

// remove ends contacts of a number. found tells whether there were any. It works on all nodes at once: who writes
// first publishes the event.
func (s *Service) remove(ctx context.Context, k aorKey, pick func(*binding) bool, why string) (found bool, err error) {
	a, _ := s.index.acquire(k, -1)
	defer s.index.release(a)
	a.write.Lock()
	defer a.write.Unlock()
	j := s.jobs.Get().(*job)
	defer s.free(j)
	r := removal{pick: pick, why: why}
	err = s.change(ctx, a, j, &r)
	return r.found, err
}

// RemoveBindings ends one contact of a number, or all, and returns those that are left. voice.ErrNotFound says that
// there was none such.
func (s *Service) RemoveBindings(ctx context.Context, req contract.RemoveBindingsRequest) (contract.BindingsResponse, error) {
	t, ok := s.index.known(req.Tenant)
	if !ok {
		return contract.BindingsResponse{}, voice.Errorf(voice.ErrNotFound, "%s has no such registration", req.DN)
	}
	k := aorKey{t, req.DN}
	found, err := s.remove(ctx, k, func(b *binding) bool {
		return req.Contact == "" || sameURI(b.contact, req.Contact)
	}, reasonRemoved)
	if err != nil {
		return contract.BindingsResponse{}, err
	}
	if !found {
		return contract.BindingsResponse{}, voice.Errorf(voice.ErrNotFound, "%s has no such registration", req.DN)
	}
	bs, err := s.public(k)
	return contract.BindingsResponse{Bindings: bs}, err
}

// FlowClosed ends the contacts that came over a connection that is gone.
func (s *Service) FlowClosed(ctx context.Context, req contract.FlowClosedRequest) (struct{}, error) {
	if req.Flow == "" {
		return struct{}{}, nil
	}
	for _, k := range s.index.overFlow(req.Node, req.Flow) {
		_, err := s.remove(ctx, k, func(b *binding) bool { return b.node == req.Node && b.flow == req.Flow }, reasonLost)
		if err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
}
