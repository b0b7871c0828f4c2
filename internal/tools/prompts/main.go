// Command prompts makes the sound of the built-in prompts: configs/prompts/en.txt becomes internal/media/prompt/en, a
// µ-law WAV of 8,000 samples a second for each line. Texts are spoken by espeak-ng, the music is synthesised here from the
// piece in piece.go. The same list gives the same files, byte for byte, with the same espeak-ng; files that no line names
// are removed. It runs at the root of the module, as `go tool task prompts`.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"parley/configs"
	"parley/internal/media/prompt"
	"parley/internal/media/wav"
)

const rate = 8000

func main() {
	voice := flag.String("voice", "en-us", "voice of espeak-ng")
	speed := flag.Int("speed", 175, "words a minute")
	out := flag.String("out", "internal/media/prompt/en", "directory of the files")
	flag.Parse()
	if err := run(*out, speaker{*voice, *speed}); err != nil {
		fmt.Fprintln(os.Stderr, "prompts:", err)
		os.Exit(1)
	}
}

func run(out string, s speaker) error {
	list, err := prompt.ParseList(configs.Prompts)
	if err != nil {
		return fmt.Errorf("configs/prompts/en.txt: %w", err)
	}
	wanted, size, changed := map[string]bool{}, 0, 0
	for _, line := range list {
		path := filepath.Join(out, filepath.FromSlash(line.Name)+".wav")
		wanted[path] = true
		b, err := sound(line, s)
		if err != nil {
			return fmt.Errorf("%s: %w", line.Name, err)
		}
		size += len(b)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
			continue
		}
		changed++
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	removed, err := removeOthers(out, wanted)
	if err != nil {
		return err
	}
	fmt.Printf("%d prompts, %.2f MB: %d changed, %d removed\n", len(list), float64(size)/1e6, changed, removed)
	return nil
}

// sound is the file of a line.
func sound(line prompt.Line, s speaker) ([]byte, error) {
	var pcm []int16
	if line.Text == prompt.Music {
		pcm = quantised(levelled(onHold.render(), musicLevel))
	} else {
		raw, err := s.speak(line.Text)
		if err != nil {
			return nil, err
		}
		pcm = shaped(raw)
	}
	dir, err := os.MkdirTemp("", "prompts")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "a.wav")
	w, err := wav.Create(path, wav.Format{Encoding: wav.ULaw, Rate: rate, Channels: 1})
	if err != nil {
		return nil, err
	}
	if err := w.Write(pcm); err != nil {
		return nil, err
	}
	if err := w.Close(-1); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func removeOthers(out string, wanted map[string]bool) (removed int, err error) {
	err = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || wanted[path] || !strings.HasSuffix(path, ".wav") {
			return err
		}
		removed++
		return os.Remove(path)
	})
	return removed, err
}
