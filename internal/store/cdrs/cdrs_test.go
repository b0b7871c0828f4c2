package cdrs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/store/sqldb"
	"parley/internal/voice"
)

// both runs a test on each database.
func both[T testing.TB](t T, run func(name string, test func(T)), test func(t T, open func() *Store)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		run(kind, func(t T) {
			dsn, dir := "", t.TempDir()
			if kind == "postgres" {
				dsn = postgres.Database(t)
			}
			test(t, func() *Store {
				s, err := Open(t.Context(), dsn, dir)
				if err != nil {
					t.Fatalf("Open: %v", err)
				}
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				return s
			})
		})
	}
}

func onBoth(t *testing.T, test func(t *testing.T, open func() *Store)) {
	both(t, func(name string, test func(*testing.T)) { t.Run(name, test) }, test)
}

var epoch = time.Date(2026, 3, 1, 8, 0, 0, 123456000, time.UTC)

// record is call number i, which began i seconds after epoch.
func record(i int) voice.CDR {
	start := epoch.Add(time.Duration(i) * time.Second)
	return voice.CDR{
		CallUUID: fmt.Sprintf("call-%06d", i), ThreadID: "thread", Tenant: "demo", Node: "n1", Type: voice.CallInternal,
		Caller: fmt.Sprintf("10%02d", i%100), CallerName: "Alice Ärcher", Dialled: fmt.Sprintf("20%02d", i%100), Answered: "3000", TrunkIn: "gw1", TrunkOut: "gw2",
		Start: start, Ringing: start.Add(time.Second), Answer: start.Add(3 * time.Second), End: start.Add(3*time.Second + time.Duration(i)*time.Minute),
		Talk: time.Duration(i) * time.Minute, Outcome: voice.OutcomeAnswered, Status: 200, EndedBy: "caller", Reason: "Normal", SIPCallID: "abc@host", Events: 7,
	}
}

func records(n int) []voice.CDR {
	out := make([]voice.CDR, n)
	for i := range out {
		out[i] = record(i)
	}
	return out
}

func insert(t testing.TB, s *Store, want int64, rs ...voice.CDR) {
	t.Helper()
	if added, err := s.Insert(t.Context(), rs); err != nil || added != want {
		t.Fatalf("Insert of %d = %d, %v, want %d", len(rs), added, err, want)
	}
}

// read reads all pages and returns the calls in the order they came.
func read(t testing.TB, s *Store, q Query) (calls []string) {
	t.Helper()
	for pages := 0; ; pages++ {
		p, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("List(%+v): %v", q, err)
		}
		for _, r := range p.Records {
			calls = append(calls, r.CallUUID)
		}
		if p.Next == "" {
			return calls
		}
		if q.After = p.Next; pages > 1000 {
			t.Fatal("the pages do not end")
		}
	}
}

func TestRecordComesBackAsItWas(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		full := record(1)
		loss, late := 1.25, 40.5
		full.CallerMedia = &voice.MediaQuality{
			Received:  voice.VoiceQuality{Codec: "PCMA", Packets: 3000, Loss: &loss, MOSLQ: 4.1, MOSCQ: 3.9},
			Sent:      voice.VoiceQuality{Codec: "PCMA", Packets: 2990},
			RoundTrip: &late,
		}
		bare := voice.CDR{CallUUID: "bare", Tenant: "demo", Start: epoch}
		insert(t, s, 2, full, bare)
		for _, want := range []voice.CDR{full, bare} {
			if got, err := s.Get(t.Context(), "demo", want.CallUUID); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("Get = %+v, %v, want\n%+v", got, err, want)
			}
		}
		for _, miss := range [][2]string{{"other", full.CallUUID}, {"demo", "nothing"}, {"demo", "\x00"}, {"de\xffmo", ""}} {
			if _, err := s.Get(t.Context(), miss[0], miss[1]); !errors.Is(err, voice.ErrNotFound) {
				t.Errorf("Get(%q) = %v, want ErrNotFound", miss, err)
			}
		}
	})
}

// A table that an earlier version has made gets the columns it lacks, and what stands in it stays.
func TestTablesOfAnEarlierVersion(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			dsn, dir := "", t.TempDir()
			if kind == "postgres" {
				dsn = postgres.Database(t)
			}
			old, err := sqldb.Open(dsn, dir, sqliteFile)
			if err != nil {
				t.Fatal(err)
			}
			before := schema
			before.Versions = schema.Versions[:2]
			if err := old.Migrate(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			if _, err := old.Write.ExecContext(t.Context(), `INSERT INTO cdrs VALUES ('u', 'demo', 't', 'n1', 1, '1001', '', '1002', '1002', '', '',
				1000000, 0, 0, 2000000, 0, 'busy', 486, 'callee', '', 'abc', 3, '1001')`); err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), dsn, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the test is over
			insert(t, s, 1, record(1))
			if r, err := s.Get(t.Context(), "demo", "u"); err != nil || r.Status != 486 || r.CallerMedia != nil || r.CalleeMedia != nil {
				t.Errorf("Get = %+v, %v, want the record as it was", r, err)
			}
			if got := read(t, s, Query{Tenant: "demo", Limit: 10}); len(got) != 2 {
				t.Errorf("%v, want the old record and the new one", got)
			}
		})
	}
}

func TestInsertTwiceChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s, other := open(), open()
		insert(t, s, 450, records(450)...)
		changed := record(7)
		changed.Outcome = voice.OutcomeFailed
		insert(t, other, 2, append(records(200), changed, record(451), record(451), record(452))...)
		if got, err := s.Get(t.Context(), "demo", changed.CallUUID); err != nil || got.Outcome != voice.OutcomeAnswered {
			t.Errorf("after a repetition with another outcome: %v, %v", got.Outcome, err)
		}
		if n := len(read(t, s, Query{Tenant: "demo", Limit: 1000})); n != 452 {
			t.Errorf("%d records, want 452", n)
		}
	})
}

// TestInsertAtOnce has several nodes write the same records: each is there once, and each is counted once.
func TestInsertAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var sum int64
		for range 4 {
			s := open()
			wg.Go(func() {
				added, err := s.Insert(t.Context(), records(300))
				if err != nil {
					t.Errorf("Insert: %v", err)
				}
				mu.Lock()
				sum += added
				mu.Unlock()
			})
		}
		wg.Wait()
		if sum != 300 {
			t.Errorf("%d records added by all, want 300", sum)
		}
	})
}

func TestInsertFailsAsAWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		for what, spoil := range map[string]func(*voice.CDR){
			"no call":        func(r *voice.CDR) { r.CallUUID = "" },
			"a call of NULs": func(r *voice.CDR) { r.CallUUID = "a\x00b" },
			"a long call":    func(r *voice.CDR) { r.CallUUID = strings.Repeat("x", maxID+1) },
			"no tenant":      func(r *voice.CDR) { r.Tenant = "" },
			"no start":       func(r *voice.CDR) { r.Start = time.Time{} },
		} {
			bad := record(299)
			spoil(&bad)
			if n, err := s.Insert(t.Context(), append(records(100), bad)); !errors.Is(err, voice.ErrInvalid) || n != 0 {
				t.Errorf("%s: Insert = %d, %v, want ErrInvalid", what, n, err)
			}
		}
		if got := read(t, s, Query{Tenant: "demo", Limit: 100}); len(got) != 0 {
			t.Errorf("%d records of failed batches are there", len(got))
		}
	})
}

// TestStrangeTextIsStored: what comes from strangers must not make a database refuse a batch for ever.
func TestStrangeTextIsStored(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		r := record(1)
		r.Caller, r.CallerName = "a\x00b\xffc", strings.Repeat("ß", 300)
		r.Dialled, r.Answered = strings.Repeat("İ", 300), strings.Repeat("İ", 300) // lower case is longer
		r.Events, r.Talk, r.End = 1<<63, -time.Second, time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
		long := r // as much as an index has to take
		long.CallUUID, long.Tenant, long.Outcome = strings.Repeat("u", maxID), strings.Repeat("t", maxID), voice.Outcome(strings.Repeat("o", 999))
		long.Caller, long.CallerName = r.Dialled, r.Dialled
		insert(t, s, 1, long)
		r.ThreadID, r.Reason, r.SIPCallID = strings.Repeat("t", 9999), strings.Repeat("r", 9999), strings.Repeat("c", 9999)
		insert(t, s, 1, r)
		got, err := s.Get(t.Context(), "demo", r.CallUUID)
		if err != nil || got.Caller != "ab\uFFFDc" || got.CallerName != strings.Repeat("ß", 128) || got.Events != 1<<63-1 || got.Talk != 0 || !got.End.IsZero() {
			t.Errorf("Get = %+v, %v", got, err)
		}
	})
}

func TestFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		rs := records(10)
		rs[1].Outcome = voice.OutcomeBusy
		rs[2].Type = voice.CallInbound
		rs[3].Tenant = "other"
		rs[4].CallerName = "100% _Bruno_ O'Neil"
		rs[5].Answered = "back\\slash"
		scored := func(mos float64) *voice.MediaQuality {
			return &voice.MediaQuality{Sent: voice.VoiceQuality{MOSLQ: mos}}
		}
		rs[2].CallerMedia, rs[2].CalleeMedia = scored(4.41), scored(2.5)
		rs[7].CalleeMedia, rs[8].CallerMedia, rs[9].CallerMedia = scored(4.0), scored(4.2), scored(0)
		rs[5].TrunkIn, rs[6].TrunkIn, rs[6].TrunkOut, rs[8].TrunkOut = "gwB", "gwA", "gwB", "gwB"
		insert(t, s, 10, rs...)
		for _, c := range []struct {
			name string
			q    Query
			want []int
		}{
			{"everything of a tenant", Query{}, []int{9, 8, 7, 6, 5, 4, 2, 1, 0}},
			{"another tenant", Query{Tenant: "other"}, []int{3}},
			{"no tenant", Query{Tenant: "none"}, nil},
			{"caller", Query{Caller: "1004"}, []int{4}},
			{"part of a caller", Query{Caller: "100"}, nil},
			{"dialled", Query{Dialled: "2006"}, []int{6}},
			{"trunk in", Query{Trunk: "gwA"}, []int{6}},
			{"trunk in or out", Query{Trunk: "gwB"}, []int{8, 6, 5}},
			{"trunk and outcome", Query{Trunk: "gwB", Outcome: voice.OutcomeBusy}, nil},
			{"trunk, page by page", Query{Trunk: "gwB", Limit: 1}, []int{8, 6, 5}},
			{"trunk of nobody", Query{Trunk: "gw"}, nil},
			{"caller and dialled of different calls", Query{Caller: "1004", Dialled: "2006"}, nil},
			{"outcome", Query{Outcome: voice.OutcomeBusy}, []int{1}},
			{"type", Query{Type: voice.CallInbound}, []int{2}},
			{"from", Query{From: rs[8].Start}, []int{9, 8}},
			{"until", Query{Until: rs[1].Start}, []int{0}},
			{"from and until", Query{From: rs[4].Start, Until: rs[6].Start}, []int{5, 4}},
			{"least talk", Query{MinTalk: 8 * time.Minute}, []int{9, 8}},
			{"worst score", Query{MaxMOS: 3.6}, []int{2}},
			{"worst score, at most 4", Query{MaxMOS: 4}, []int{7, 2}},
			{"worst score, at most 4, page by page", Query{MaxMOS: 4, Limit: 1}, []int{7, 2}},
			{"any score that is known", Query{MaxMOS: 5}, []int{8, 7, 2}},
			{"worst score by a trunk", Query{MaxMOS: 4.3, Trunk: "gwB"}, []int{8}},
			{"part of the caller", Query{Text: "007"}, []int{7}},
			{"part of the dialled", Query{Text: "2008"}, []int{8}},
			{"name, any case", Query{Text: "bRUNO"}, []int{4}},
			{"an umlaut, any case", Query{Text: "äRCHER", Limit: 2}, []int{9, 8, 7, 6, 5, 2, 1, 0}},
			{"percent is itself", Query{Text: "0%"}, []int{4}},
			{"underscore is itself", Query{Text: "_b"}, []int{4}},
			{"backslash is itself", Query{Text: `k\s`}, []int{5}},
			{"quote", Query{Text: "o'n"}, []int{4}},
			{"not over two fields", Query{Text: "1001\n2001"}, nil},
			{"NUL", Query{Text: "00\x007"}, []int{7}},
			{"all at once", Query{Text: "100", Caller: "1009", Dialled: "2009", Outcome: voice.OutcomeAnswered, Type: voice.CallInternal,
				From: epoch, Until: epoch.Add(time.Hour), MinTalk: time.Minute}, []int{9}},
		} {
			if c.q.Tenant == "" {
				c.q.Tenant = "demo"
			}
			if c.q.Limit == 0 {
				c.q.Limit = 4
			}
			var want []string
			for _, i := range c.want {
				want = append(want, rs[i].CallUUID)
			}
			if got := read(t, s, c.q); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", c.name, got, want)
			}
		}
	})
}

// TestPagesAreStableUnderInserts stores newer, older and simultaneous calls between two pages.
func TestPagesAreStableUnderInserts(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		same := records(100) // ten calls begin at the same moment, ten times
		for i := range same {
			same[i].Start = epoch.Add(time.Duration(i/10) * time.Second)
		}
		insert(t, s, 100, same...)
		q := Query{Tenant: "demo", Limit: 7}
		seen := map[string]int{}
		next := 1000
		for page := 0; ; page++ {
			p, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Records {
				seen[r.CallUUID]++
			}
			for _, start := range []time.Time{epoch.Add(time.Hour), p.Records[0].Start, p.Records[len(p.Records)-1].Start} {
				r := record(next)
				next++
				r.Start = start
				insert(t, s, 1, r)
			}
			if p.Next == "" || page > 100 {
				break
			}
			q.After = p.Next
		}
		for _, r := range same {
			if seen[r.CallUUID] != 1 {
				t.Errorf("%s was seen %d times, want once", r.CallUUID, seen[r.CallUUID])
			}
		}
		for call, n := range seen {
			if n != 1 {
				t.Errorf("%s was seen %d times", call, n)
			}
		}
	})
}

func TestCursorOfOthersIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		for _, after := range []string{"x", "-", "1", "1-", "x-y", "-1", "99999999999999999999-x", "1-a\x00b", "1-" + strings.Repeat("x", 500)} {
			if _, err := s.List(t.Context(), Query{Tenant: "demo", After: after}); !errors.Is(err, voice.ErrInvalid) {
				t.Errorf("List after %q = %v, want ErrInvalid", after, err)
			}
		}
	})
}

func TestExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		rs := records(30)
		for i := range rs {
			rs[i].Tenant = []string{"a", "demo", "z"}[i%3]
		}
		insert(t, s, 30, rs...)
		before := rs[24].Start
		var steps []int64
		for {
			n, err := s.Expire(t.Context(), before, 10)
			if err != nil {
				t.Fatal(err)
			}
			if steps = append(steps, n); n < 10 {
				break
			}
		}
		if !slices.Equal(steps, []int64{10, 10, 4}) {
			t.Errorf("Expire in steps of %v, want 10, 10, 4", steps)
		}
		for _, tenant := range []string{"a", "demo", "z"} {
			if got := read(t, s, Query{Tenant: tenant, Limit: 100}); len(got) != 2 {
				t.Errorf("tenant %s has %v, want the two calls that are young enough", tenant, got)
			}
		}
	})
}

func TestOpenAgainAndBesideTheConfiguration(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *Store) {
		s := open()
		insert(t, s, 1, record(1))
		again := open()
		if _, err := again.Get(t.Context(), "demo", record(1).CallUUID); err != nil {
			t.Errorf("after opening again: %v", err)
		}
		if err := again.Ping(t.Context()); err != nil {
			t.Errorf("Ping = %v", err)
		}
	})
	dir := t.TempDir()
	s, err := Open(t.Context(), "sqlite://"+dir+"/config.db", "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	insert(t, s, 1, record(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), "", dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Get(t.Context(), "demo", record(1).CallUUID); err != nil || s.Shared() {
		t.Errorf("cdr.db is not beside the other file: %v", err)
	}
}

func TestServerAwayIsUnavailable(t *testing.T) {
	_, err := Open(t.Context(), "postgres://parley:s3cret@127.0.0.1:1/x?connect_timeout=2", "")
	if !errors.Is(err, voice.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open with nobody there = %v, want ErrUnavailable without the password", err)
	}
}
