package prompt

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/configs"
	"parley/internal/media/audio"
	"parley/internal/media/play"
	"parley/internal/media/wav"
	"parley/internal/voice"
)

// DefaultLanguage is the one that is there in any case.
const DefaultLanguage = "en"

// OnHold is the name of the music that is played when nothing else is asked for.
const OnHold = "music/on_hold"

// Pause stands for a short silence in a list of names.
const Pause = ","

const pause = 250 * time.Millisecond

//go:embed en
var builtIn embed.FS

// extensions of files, those tried first in front.
var extensions = []string{".wav", ".ulaw"}

// maxListed is how many files of a tenant are looked at for a list.
const maxListed = 10000

// Library finds clips.
type Library struct {
	dir     string // "" = there are only built-in ones
	cache   *play.Cache
	texts   map[string]string // by name
	said    map[string]string // names by the simplified text
	longest int               // words of a text

	mu    sync.Mutex
	clips map[string]*play.Clip // built-in ones that were used, by name
}

// New looks for tenants' own files in dir and keeps them in cache; without a dir there are the built-in ones.
func New(dir string, cache *play.Cache) (*Library, error) {
	l := &Library{dir: dir, cache: cache, texts: map[string]string{}, said: map[string]string{}, clips: map[string]*play.Clip{}}
	list, err := ParseList(configs.Prompts)
	if err != nil {
		return nil, fmt.Errorf("prompts/en.txt: %w", err)
	}
	for _, line := range slices.Backward(list) { // the first of two that say the same counts
		l.texts[line.Name] = line.Text
		said := simplified(line.Text)
		l.said[said] = line.Name
		l.longest = max(l.longest, len(strings.Fields(said)))
	}
	return l, nil
}

// nameOf is one part of a name, and a tenant's too. No part is "." or "..", and none has a separator.
var nameOf = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

func validName(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) <= 4 && !slices.ContainsFunc(parts, func(p string) bool { return !nameOf.MatchString(p) })
}

// languages that are looked through, in order.
func languages(asked string) []string {
	lang, region, _ := strings.Cut(strings.ReplaceAll(asked, "_", "-"), "-")
	lang, region = strings.ToLower(lang), strings.ToUpper(region)
	var out []string
	add := func(l string) {
		if nameOf.MatchString(l) && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if region != "" {
		add(lang + "-" + region)
	}
	add(lang)
	add(DefaultLanguage)
	return out
}

// Clip finds what is said under a name, [Pause] included. The error wraps voice.ErrNotFound if nobody has it, and names
// the file that cannot be played otherwise.
func (l *Library) Clip(tenant, language, name string) (*play.Clip, error) {
	if name == Pause {
		return play.Silence(audio.Narrow, pause), nil
	}
	if !validName(name) {
		return nil, fmt.Errorf("prompt %q: %w: a name is letters, digits, _ and -, with / between its parts", name, voice.ErrNotFound)
	}
	for _, lang := range languages(language) {
		clip, err := l.own(tenant, lang, name)
		if clip != nil || err != nil {
			return clip, err
		}
		if clip, err = l.builtIn(lang, name); clip != nil || err != nil {
			return clip, err
		}
	}
	return nil, fmt.Errorf("prompt %q in language %q of tenant %q: %w", name, language, tenant, voice.ErrNotFound)
}

// own is a tenant's file; nothing, if it has none.
func (l *Library) own(tenant, lang, name string) (*play.Clip, error) {
	if l.dir == "" || !nameOf.MatchString(tenant) {
		return nil, nil
	}
	for _, ext := range extensions {
		clip, err := l.cache.Load(filepath.Join(l.dir, tenant, lang, filepath.FromSlash(name)+ext), audio.Narrow)
		if !errors.Is(err, fs.ErrNotExist) {
			return clip, err
		}
	}
	return nil, nil
}

func (l *Library) builtIn(lang, name string) (*play.Clip, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := lang + "/" + name
	if clip := l.clips[key]; clip != nil {
		return clip, nil
	}
	b, err := builtIn.ReadFile(key + ".wav")
	if err != nil {
		return nil, nil
	}
	f, err := wav.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("built-in prompt %s: %w", key, err)
	}
	clip := play.FromFile(f, audio.Narrow)
	l.clips[key] = clip
	return clip, nil
}

// Clips finds several, as [Library.Clip] does. One that is missing is the error for all.
func (l *Library) Clips(tenant, language string, names ...string) ([]*play.Clip, error) {
	clips := make([]*play.Clip, 0, len(names))
	for _, name := range names {
		clip, err := l.Clip(tenant, language, name)
		if err != nil {
			return nil, err
		}
		clips = append(clips, clip)
	}
	return clips, nil
}

// Prompt is an entry of a list.
type Prompt struct {
	Name     string
	Language string
	Text     string // of built-in ones; "" where nobody knows what a file says
	File     string // of the tenant; "" = built in
}

// List is all that a tenant can have said in a language, by name, each as [Library.Clip] would find it.
func (l *Library) List(tenant, language string) ([]Prompt, error) {
	found := map[string]Prompt{}
	for _, lang := range slices.Backward(languages(language)) {
		if err := walk(builtIn, lang, 0, func(name, _ string) {
			found[name] = Prompt{Name: name, Language: lang, Text: l.texts[name]}
		}); err != nil {
			return nil, err
		}
		if l.dir == "" || !nameOf.MatchString(tenant) {
			continue
		}
		dir := filepath.Join(l.dir, tenant, lang)
		if err := walk(os.DirFS(dir), ".", maxListed, func(name, file string) {
			found[name] = Prompt{Name: name, Language: lang, Text: l.texts[name], File: filepath.Join(dir, file)}
		}); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	out := make([]Prompt, 0, len(found))
	for _, p := range found {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Prompt) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// walk finds files of sound below root, and tells the name of each. A root that is not there is empty.
func walk(fsys fs.FS, root string, limit int, each func(name, file string)) error {
	n := 0
	return fs.WalkDir(fsys, root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			if file == root && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipAll
			}
			return err
		}
		if n++; limit > 0 && n > limit {
			return fmt.Errorf("more than %d files", limit)
		}
		name := strings.TrimPrefix(strings.TrimSuffix(file, path.Ext(file)), root+"/")
		if !d.IsDir() && slices.Contains(extensions, path.Ext(file)) && validName(name) {
			each(name, file)
		}
		return nil
	})
}
