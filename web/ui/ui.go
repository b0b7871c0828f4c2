package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// shared are the template files every page may use; each other file is a page that defines "content".
var shared = []string{"templates/base.html", "templates/parts.html"}

// Viewer is the signed-in person a page is for.
type Viewer struct {
	User, Tenant string
	RoleName     string // the highest role, in a word
	System       bool   // all tenants
	Admin        bool   // changes the own tenant
	Reads        bool   // sees more than the own device
}

// Initials are one or two letters that stand for the person.
func (v *Viewer) Initials() string {
	var out []rune
	for _, part := range strings.FieldsFunc(v.User, func(r rune) bool { return strings.ContainsRune(". _-@", r) }) {
		out = append(out, []rune(strings.ToUpper(part))[0])
		if len(out) == 2 {
			break
		}
	}
	return string(out)
}

// Flash is a short good news at the top of a page, after a form was sent.
type Flash struct{ Kind, Text string }

// Problem is what went wrong with a form, at its top.
type Problem struct {
	Text  string
	Items []string
}

// Page is everything a page shows; Data belongs to the page's own template.
type Page struct {
	Title   string
	Nav     string // which entry of the navigation is this page
	Path    string // of this page, to come back to
	Theme   string // "", light or dark
	CSRF    string
	Version string
	Node    string
	Viewer  *Viewer  // nil: nobody is signed in
	Scope   string   // tenant that links lead to
	Tenants []string // to switch to
	Flash   *Flash
	Data    any
}

// Asset is a file for the browser to keep.
type Asset struct {
	ContentType string
	Body        []byte
}

// Renderer renders pages and parts of them.
type Renderer struct {
	pages  map[string]*template.Template
	parts  *template.Template
	assets map[string]Asset  // by the name with its hash
	urls   map[string]string // plain name -> URL
}

// New parses the embedded files.
func New() (*Renderer, error) {
	r := &Renderer{pages: map[string]*template.Template{}, assets: map[string]Asset{}, urls: map[string]string{}}
	if err := r.loadAssets(); err != nil {
		return nil, err
	}
	base, err := template.New("").Funcs(r.funcs()).ParseFS(templateFiles, shared...)
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "base" || name == "parts" {
			continue
		}
		clone, err := base.Clone()
		if err != nil {
			return nil, fmt.Errorf("ui: %w", err)
		}
		if r.pages[name], err = clone.ParseFS(templateFiles, file); err != nil {
			return nil, fmt.Errorf("ui: %w", err)
		}
	}
	r.parts = base
	return r, nil
}

// loadAssets names each file after its content, so that browsers may keep it for ever.
func (r *Renderer) loadAssets() error {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	return fs.WalkDir(staticFiles, "static", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(file)
		plain := path.Base(file)
		hashed := strings.TrimSuffix(plain, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		contentType, ok := types[ext]
		if !ok {
			return fmt.Errorf("ui: %s: no content type for %q", file, ext)
		}
		r.assets[hashed] = Asset{ContentType: contentType, Body: body}
		r.urls[plain] = "/static/" + hashed
		return nil
	})
}

// Asset returns the asset of that name, as it stands behind /static/ in pages.
func (r *Renderer) Asset(name string) (Asset, bool) {
	a, ok := r.assets[name]
	return a, ok
}

// Page renders a whole page. Nothing is returned unless all of it could be rendered.
func (r *Renderer) Page(name string, p *Page) ([]byte, error) {
	t, ok := r.pages[name]
	if !ok {
		return nil, fmt.Errorf("ui: no page %q", name)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "base", p); err != nil {
		return nil, fmt.Errorf("ui: page %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// Part renders one of the shared parts by itself, for a live update.
func (r *Renderer) Part(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	if err := r.parts.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("ui: part %s: %w", name, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
