// Package provision turns provisioning files, and the template of the first start, into requests to apply.
//
// A file may refer to others (scxml_file of a script), which are read here, beside the command line, because the
// node that applies it may run elsewhere. Whatever is wrong with the YAML is left to services/config to report: it
// knows the fields. No state.
package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/goccy/go-yaml"

	"parley/internal/contract"
)

// maxFile bounds each file that is read.
const maxFile = 64 << 20

// outline is what has to be known of a file here.
type outline struct {
	Tenants []struct {
		Name    string `yaml:"name"`
		Scripts []struct {
			File string `yaml:"scxml_file"`
		} `yaml:"scripts"`
	} `yaml:"tenants"`
}

// Read reads a provisioning file and the files it refers to, relative to itself.
func Read(path string) (contract.ConfigApplyRequest, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return contract.ConfigApplyRequest{}, fmt.Errorf("%s: there is no such file; check the path", path)
	case err != nil:
		return contract.ConfigApplyRequest{}, err
	case info.Size() > maxFile:
		return contract.ConfigApplyRequest{}, fmt.Errorf("%s: %d MiB is more than a provisioning file may have (%d MiB); split it", path, info.Size()>>20, maxFile>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return contract.ConfigApplyRequest{}, fmt.Errorf("%w; check who may read the file", err)
	}
	return build(path, text, os.DirFS(filepath.Dir(path)))
}

// FromTemplate renders the template name of files with data; what it refers to is in files too.
func FromTemplate(files fs.FS, name string, data any) (contract.ConfigApplyRequest, error) {
	t, err := template.ParseFS(files, name)
	if err != nil {
		return contract.ConfigApplyRequest{}, err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return contract.ConfigApplyRequest{}, err
	}
	return build(name, text.Bytes(), files)
}

func build(name string, text []byte, dir fs.FS) (contract.ConfigApplyRequest, error) {
	req := contract.ConfigApplyRequest{File: name, YAML: text, Files: map[string][]byte{}}
	var o outline
	if err := yaml.Unmarshal(text, &o); err != nil {
		return req, nil // services/config says what is wrong, and where
	}
	for _, t := range o.Tenants {
		for _, s := range t.Scripts {
			if s.File == "" {
				continue
			}
			content, err := readIn(dir, s.File)
			if err != nil {
				return req, fmt.Errorf("%s: tenant %s: scxml_file: %w", name, t.Name, err)
			}
			req.Files[s.File] = content
		}
	}
	return req, nil
}

// readIn reads a file below the folder of the provisioning file; a path that leaves it is refused, so that a file
// from somebody else cannot carry other files of this machine into the configuration.
func readIn(dir fs.FS, name string) ([]byte, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%s leaves the folder of the provisioning file; want a path below it", name)
	}
	text, err := fs.ReadFile(dir, filepath.ToSlash(filepath.Clean(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist beside the provisioning file", name)
	}
	if err == nil && len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return text, err
}

// DefinesTenants tells whether req is a file that makes tenants, so that a node need not make one to begin with.
func DefinesTenants(req contract.ConfigApplyRequest) bool {
	var o outline
	return yaml.Unmarshal(req.YAML, &o) == nil && len(o.Tenants) > 0
}
