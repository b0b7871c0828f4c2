package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"parley/internal/voice"
)

// Entry is what is kept of a recording beside its sound.
type Entry struct {
	voice.RecordingLedger
	Of    Call     `json:"call"`
	Left  []string `json:"left"`  // who was heard in the channel, one after the other or together
	Right []string `json:"right"` //
	Node  string   `json:"node"`
}

// The endings of the files of a recording. The ledger has the second while sound still comes.
const (
	soundEnding = ".wav"
	openEnding  = ".open.json"
	doneEnding  = ".json"
)

// idForm is what an identifier looks like: the time at which it began, UTC, and the call. So names sort by time.
var idForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{9}-[0-9A-Za-z]{1,64}$`)

const (
	idTime    = "20060102T150405.000"
	dateForm  = "2006-01-02"
	idTimeLen = len("20060102T150405000")
)

func newID(at time.Time, callUUID string) string {
	return strings.Replace(at.UTC().Format(idTime), ".", "", 1) + "-" + callUUID
}

// begun is the time in an identifier.
func begun(id string) (time.Time, bool) {
	if !idForm.MatchString(id) {
		return time.Time{}, false
	}
	at, err := time.Parse(idTime, id[:idTimeLen-3]+"."+id[idTimeLen-3:idTimeLen])
	return at, err == nil
}

// plainName is a tenant whose name may be that of a folder as it is.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

func tenantFolder(tenant string) string {
	if plainName.MatchString(tenant) {
		return tenant
	}
	return fmt.Sprintf("%%%x", tenant)
}

// inStore is the path of a recording within the store, without its ending; "" where the identifier is none.
func inStore(tenant, id string) string {
	at, ok := begun(id)
	if !ok {
		return ""
	}
	return filepath.Join(tenantFolder(tenant), at.Format(dateForm), id)
}

func makeFolder(dir string) error { return os.MkdirAll(dir, 0o750) }

// write replaces the file of the ledger: whoever reads it, also after a crash, finds the old one or the new one.
func (e *Entry) write(path string) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, path)
}

// close writes the ledger of a recording that is over. path has no ending.
func (e *Entry) close(path string) error {
	if err := e.write(path + doneEnding); err != nil {
		return err
	}
	return os.Remove(path + openEnding)
}

// readEntry reads a ledger, complete or not.
func readEntry(path string) (*Entry, error) {
	b, err := os.ReadFile(path + doneEnding)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(path + openEnding)
	}
	if err != nil {
		return nil, err
	}
	e := &Entry{}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

// withoutPath is an error of the disk in words for somebody whom our folders do not concern.
func withoutPath(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprintf("the disk: %s: %v", p.Op, p.Err)
	}
	return err.Error()
}
