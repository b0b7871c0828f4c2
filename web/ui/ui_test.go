package ui

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{-1: "–", 0: "0", 999: "999", 1000: "1,000", 100000: "100,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMoment(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 5, 9, 0, time.FixedZone("CET", 3600))
	want := `<time datetime="2026-03-01T12:05:09Z" data-as="moment" title="2026-03-01 12:05:09 UTC">1 Mar 12:05 UTC</time>`
	if got := string(moment(at)); got != want {
		t.Errorf("moment = %s, want %s", got, want)
	}
	if got := clock(time.Time{}); got != "–" {
		t.Errorf("clock of no time = %s", got)
	}
}

func TestInitials(t *testing.T) {
	for user, want := range map[string]string{"root": "R", "anna.admin": "AA", "ünal": "Ü", "a.b.c": "AB", "..": ""} {
		if got := (&Viewer{User: user}).Initials(); got != want {
			t.Errorf("Initials(%q) = %q, want %q", user, got, want)
		}
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if body, err := r.Page("nothing", &Page{}); err == nil {
		t.Errorf("Page(nothing) = %q", body)
	}
	if body, err := r.Part("nothing", nil); err == nil {
		t.Errorf("Part(nothing) = %q", body)
	}
	if body, err := r.Page("signin", &Page{Data: struct{ Strange int }{}}); err == nil || body != nil {
		t.Errorf("a page that cannot be rendered gives %q and %v, want nothing and an error", body, err)
	}
	if _, err := icon("nothing"); err == nil {
		t.Error("icon(nothing) is no error")
	}
	if _, ok := r.Asset("app.css"); ok {
		t.Error("an asset without its hash is found")
	}
}

// TestNothingComesFromElsewhere keeps pages whole without a network, and within their content security policy.
func TestNothingComesFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(src|href|action)="(https?:)?//|url\(|@import|<script>|<style|\sstyle=|\son[a-z]+="|javascript:`)
	for _, files := range []fs.FS{templateFiles, staticFiles} {
		err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, name)
			if found := elsewhere.Find(text); found != nil {
				t.Errorf("%s holds %q", name, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormsCarryTheirToken finds forms that would be refused.
func TestFormsCarryTheirToken(t *testing.T) {
	forms := regexp.MustCompile(`(?s)<form[^>]*method="post".*?</form>`)
	found := 0
	err := fs.WalkDir(templateFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templateFiles.ReadFile(name)
		for _, form := range forms.FindAllString(string(text), -1) {
			found++
			if !strings.Contains(form, `name="csrf"`) {
				t.Errorf("%s: a form without a CSRF token:\n%s", name, form)
			}
		}
		return err
	})
	if err != nil || found < 10 {
		t.Errorf("found %d forms, %v", found, err)
	}
}
