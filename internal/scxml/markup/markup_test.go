package markup

import (
	"errors"
	"strings"
	"testing"
)

func TestParseKeepsNamesAndPlaces(t *testing.T) {
	root, err := Parse("a.xml", []byte("<a xmlns='u' xmlns:p='v'>\n  <p:b c='1' p:d='2'/>text<!-- x --> goes on</a>"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b := root.Elements()[0]
	if b.Space != "v" || b.Name != "b" || b.Pos.Line != 2 || b.Pos.Column != 3 {
		t.Errorf("element = {%s}%s at %v, want {v}b at 2:3", b.Space, b.Name, b.Pos)
	}
	if v, ok := b.Attr("c"); !ok || v != "1" {
		t.Errorf("Attr(c) = %q, %v", v, ok)
	}
	if got := root.TextContent(); got != "\n  text goes on" {
		t.Errorf("TextContent = %q", got)
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"unclosed", "<a>\n<b>\n</a>", "f.xml:3:"},
		{"entity", "<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "entities are not declared"},
		{"empty", "  ", "there is no element"},
		{"two roots", "<a/><b/>", "second"},
		{"twice", "<a b='1' b='2'/>", "<a>: attribute b stands twice"},
		{"text outside", "<a/>x", "outside"},
		{"charset", "<?xml version='1.0' encoding='latin-1'?><a/>", "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := Parse("f.xml", []byte(c.src), Limits{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse = %v, %v, want an error with %q", root, err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, src := range []string{strings.Repeat("<a>", 11) + strings.Repeat("</a>", 11), "<a>" + strings.Repeat("<b/>", 30) + "</a>", "<a>" + strings.Repeat(" ", 600) + "</a>"} {
		if _, err := Parse("f", []byte(src), Limits{Bytes: 500, Depth: 10, Nodes: 20}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Parse(%.20q) = %v, want ErrTooLarge", src, err)
		}
	}
}

// What is read, written and read again is the same.
func FuzzParse(f *testing.F) {
	f.Add("<a xmlns='u'><b x='&lt;'>t &amp; u</b><c xmlns=''/></a>")
	f.Add("<p:a xmlns:p='q' p:x='1'><![CDATA[<>]]></p:a>")
	f.Fuzz(func(t *testing.T, src string) {
		first, err := Parse("f", []byte(src), Limits{})
		if (first == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v: a tree or an error", first, err)
		}
		if err != nil {
			return
		}
		text := first.XML()
		again, err := Parse("f", []byte(text), Limits{Bytes: 1 << 30, Depth: 1000})
		if err != nil {
			t.Fatalf("%q was written as %q, which fails: %v", src, text, err)
		}
		if got := again.XML(); got != text {
			t.Fatalf("%q became %q, then %q", src, text, got)
		}
	})
}
