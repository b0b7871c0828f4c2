package scxml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lab runs documents with a clock of its own, so that no test waits, and a real HTTP listener for their events.
type lab struct {
	engine *Engine
	server *httptest.Server
	now    time.Time
	s      *Session // the one under test
	moves  bool     // it is kept and restored whenever it waits

	mu       sync.Mutex // guards what follows
	sessions map[string]*Session
	logs     []string
}

func newLab(t testing.TB, opts Options) *lab {
	t.Helper()
	l := &lab{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), sessions: map[string]*Session{}}
	l.server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.server.Close)
	opts.Processors = append(opts.Processors, &BasicHTTP{
		Where: func(id string) string { return l.server.URL + "/" + id },
		Post: func(_ *Handle, _ Message, url, kind string, body []byte) error {
			resp, err := l.server.Client().Post(url, kind, strings.NewReader(string(body)))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", url, resp.Status)
			}
			return nil
		},
	})
	if opts.Load == nil {
		opts.Load = loadFile
	}
	opts.Trace = func(_ string, tr Trace) {
		if tr.What == TraceLog {
			l.mu.Lock()
			l.logs = append(l.logs, tr.Name+": "+Text(tr.Data))
			l.mu.Unlock()
		}
	}
	opts.Deliver = func(id string, ev Event) error {
		if s := l.session(id); s != nil {
			return s.Post(ev)
		}
		return fmt.Errorf("there is no session %q", id)
	}
	engine, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	l.engine = engine
	return l
}

// loadFile reads file:NAME relative to the document that asks.
func loadFile(base, src string) ([]byte, error) {
	return os.ReadFile(filepath.Join(filepath.Dir(base), filepath.FromSlash(strings.TrimPrefix(src, "file:"))))
}

func (l *lab) session(id string) *Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[id]
}

func (l *lab) serve(w http.ResponseWriter, r *http.Request) {
	s := l.session(strings.Trim(r.URL.Path, "/"))
	if s == nil {
		http.NotFound(w, r)
		return
	}
	ev, err := ReadHTTP(r, 1<<20)
	if err == nil {
		err = s.Post(ev)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// start compiles a document and runs it to its first rest.
func (l *lab) start(t testing.TB, file string, src []byte, params map[string]any) error {
	t.Helper()
	p, err := l.engine.Compile(file, src)
	if err != nil {
		return err
	}
	l.watch(l.engine.Start(p, StartOptions{ID: "s1", Params: params}))
	l.settle(t)
	return nil
}

func (l *lab) watch(s *Session) {
	l.s = s
	l.mu.Lock()
	l.sessions[s.ID()] = s
	l.mu.Unlock()
}

func (l *lab) settle(t testing.TB) {
	t.Helper()
	for l.s.Run(l.now) {
	}
	if l.moves {
		l.move(t)
	}
}

// move replaces the session by one that was restored from its snapshot, whose own snapshot is the same.
func (l *lab) move(t testing.TB) {
	t.Helper()
	before, err := l.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	moved, err := l.engine.Restore(l.s.Program(), before, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, before)
	}
	if !moved.Done() {
		if err := moved.wake(); err != nil {
			t.Fatalf("%v\n%s", err, before)
		}
	}
	after, err := moved.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Fatalf("restored from\n%s\nit is\n%s", before, after)
	}
	l.watch(moved)
}

// wake makes the runtimes of a family, which otherwise wait until they are needed.
func (s *Session) wake() (err error) {
	s.eachMember(func(m *Session) {
		if m.asleep != nil {
			if _, e := m.js(); e != nil {
				err = e
			}
		}
	})
	return err
}

// pass lets time go on by d, stopping wherever it wants to be driven.
func (l *lab) pass(t testing.TB, d time.Duration) {
	t.Helper()
	end := l.now.Add(d)
	for {
		due, ok := l.s.NextDue()
		if !ok || due.After(end) {
			break
		}
		if due.After(l.now) {
			l.now = due
		}
		l.settle(t)
	}
	l.now = end
}

// manifest is the common part of both suites' lists.
type manifest struct {
	Tests []struct {
		ID, File, Script string
		Manual           bool
		Section          string
	}
}

func readManifest(t *testing.T, file string) manifest {
	t.Helper()
	var m manifest
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// suite finds the folder of a suite: named by the environment, or beside the project, or beside the folder of its work
// trees.
func suite(env, name string) string {
	if dir := os.Getenv(env); dir != "" {
		return dir
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return ""
	}
	for _, up := range []string{"..", "../.."} {
		dir := filepath.Join(root, up, "shared", "scxml-conformance", name)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return ""
}

// documents lists what is in a folder when it has no manifest.
func documents(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".scxml") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestConformance runs the documents of our own, which are always there, and those of two public suites where they
// are. SCXML_W3C_DIR and SCXML_SCION_DIR name other folders of the same form.
func TestConformance(t *testing.T) {
	t.Run("own", func(t *testing.T) { runScripted(t, "testdata/conformance", "") })
	if dir := suite("SCXML_W3C_DIR", "w3c"); dir != "" {
		t.Run("w3c", func(t *testing.T) { runW3C(t, dir) })
	} else {
		t.Log("w3c: not here, set SCXML_W3C_DIR to run it; the documents in testdata/conformance cover the same ground")
	}
	if dir := suite("SCXML_SCION_DIR", "scion"); dir != "" {
		t.Run("scion", func(t *testing.T) { runScripted(t, dir, filepath.Join(dir, "manifest.json")) })
	} else {
		t.Log("scion: not here, set SCXML_SCION_DIR to run it; the documents in testdata/conformance cover the same ground")
	}
}

// runW3C runs documents that end in the final state pass. Those that a person must judge count apart: they are to
// run to an end, or to be refused.
func runW3C(t *testing.T, dir string) {
	type test struct {
		id, file string
		manual   bool
	}
	var tests []test
	switch list := filepath.Join(filepath.Dir(dir), "manifest.json"); {
	case exists(filepath.Join(dir, "manifest.json")):
		for _, e := range readManifest(t, filepath.Join(dir, "manifest.json")).Tests {
			tests = append(tests, test{e.ID, filepath.Join(dir, e.File), e.Manual})
		}
	case exists(list) && len(readManifest(t, list).Tests) > 0 && filepath.Dir(readManifest(t, list).Tests[0].File) == filepath.Base(dir):
		for _, e := range readManifest(t, list).Tests {
			tests = append(tests, test{e.ID, filepath.Join(filepath.Dir(dir), e.File), e.Manual})
		}
	default:
		for _, f := range documents(t, dir) {
			if !strings.Contains(filepath.Base(f), "sub") { // documents that others invoke
				tests = append(tests, test{strings.TrimSuffix(filepath.Base(f), ".scxml"), f, false})
			}
		}
	}
	passed, judged, failed := 0, 0, 0
	for _, e := range tests {
		t.Run(e.id, func(t *testing.T) {
			outcome, logs := runToEnd(t, e.file, false)
			if !e.manual {
				if again, logs := runToEnd(t, e.file, true); again != outcome {
					t.Errorf("ends in %s, and in %s if it is restored at each rest; log %q", outcome, again, logs)
				}
			}
			switch {
			case outcome == "pass":
				passed++
			case e.manual && outcome != "fail" && !strings.HasPrefix(outcome, "waits"):
				judged++
				t.Logf("to be judged by a person: %s; log %q", outcome, logs)
			default:
				failed++
				t.Errorf("ended in %s, want pass; log %q", outcome, logs)
			}
		})
	}
	t.Logf("w3c: %d documents of %s: %d passed, %d ended and are to be judged by a person, %d failed", len(tests), dir, passed, judged, failed)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// runToEnd tells where a document ends.
func runToEnd(t *testing.T, file string, moves bool) (outcome string, logs []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, Options{})
	l.moves = moves
	if err := l.start(t, file, src, nil); err != nil {
		return "rejected: " + err.Error(), nil
	}
	l.pass(t, time.Minute)
	if !l.s.Done() {
		return fmt.Sprintf("waits in %v", l.s.Configuration()), l.logs
	}
	if err := l.s.Err(); err != nil {
		return err.Error(), l.logs
	}
	return strings.Join(l.s.Atomic(), " "), l.logs
}

// script is what happens to a document, and where it is to be then.
type story struct {
	InitialConfiguration []string
	Events               []struct {
		After int
		Event struct {
			Name string
			Data any
		}
		NextConfiguration []string
	}
}

// runScripted runs documents with events and expected configurations.
func runScripted(t *testing.T, dir, list string) {
	type test struct{ id, file, script string }
	var tests []test
	if list != "" && exists(list) {
		for _, e := range readManifest(t, list).Tests {
			tests = append(tests, test{e.ID, filepath.Join(dir, e.File), filepath.Join(dir, e.Script)})
		}
	} else {
		for _, f := range documents(t, dir) {
			if script := strings.TrimSuffix(f, ".scxml") + ".json"; exists(script) {
				id, err := filepath.Rel(dir, strings.TrimSuffix(f, ".scxml"))
				if err != nil {
					t.Fatal(err)
				}
				tests = append(tests, test{id, f, script})
			}
		}
	}
	if len(tests) == 0 {
		t.Fatalf("there are no tests in %s", dir)
	}
	passed := 0
	for _, e := range tests {
		if t.Run(e.id, func(t *testing.T) {
			runScript(t, e.file, e.script, false)
			runScript(t, e.file, e.script, true)
		}) {
			passed++
		}
	}
	t.Logf("%d documents of %s: %d passed, %d failed", len(tests), dir, passed, len(tests)-passed)
}

func runScript(t *testing.T, file, script string, moves bool) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var sc story
	b, err := os.ReadFile(script)
	if err == nil {
		err = json.Unmarshal(b, &sc)
	}
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, Options{})
	l.moves = moves
	if err := l.start(t, file, src, nil); err != nil {
		t.Fatal(err)
	}
	same := func(when string, want []string) {
		t.Helper()
		got := l.s.Atomic()
		slices.Sort(got)
		want = slices.Clone(want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: in %v, want %v; log %q", when, got, want, l.logs)
		}
	}
	same("at the start", sc.InitialConfiguration)
	for i, e := range sc.Events {
		l.pass(t, time.Duration(e.After)*time.Millisecond)
		if err := l.s.Post(Event{Name: e.Event.Name, Data: e.Event.Data}); err != nil && !l.s.Done() {
			t.Fatal(err)
		}
		l.settle(t)
		same(fmt.Sprintf("event %d, %s", i+1, e.Event.Name), e.NextConfiguration)
	}
}
