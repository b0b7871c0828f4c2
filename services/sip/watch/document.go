package watch

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// ContentType of a document.
const ContentType = "application/dialog-info+xml"

// document writes a dialog-info (RFC 4235 §4.1). entity is the URI of the line; uri makes one of a number.
func document(version uint32, full bool, entity string, dialogs []*dialog, uri func(number string) string) []byte {
	var b strings.Builder
	state := "partial"
	if full {
		state = "full"
	}
	b.WriteString(`<?xml version="1.0"?>` + "\n" + `<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="`)
	b.WriteString(strconv.FormatUint(uint64(version), 10) + `" state="` + state + `" entity="`)
	text(&b, entity)
	b.WriteString("\">\n")
	for _, d := range dialogs {
		d.write(&b, entity, uri)
	}
	b.WriteString("</dialog-info>\n")
	return []byte(b.String())
}

func (d *dialog) write(b *strings.Builder, entity string, uri func(string) string) {
	b.WriteString(`<dialog id="`)
	text(b, d.conn)
	b.WriteString(`" direction="` + d.direction + "\">\n<state")
	if d.why != "" {
		b.WriteString(` event="` + d.why + `"`)
	}
	b.WriteString(">" + d.state + "</state>\n")
	if d.state == terminated {
		b.WriteString("</dialog>\n")
		return
	}
	b.WriteString("<local><identity>")
	text(b, entity)
	b.WriteString(`</identity><target uri="`)
	text(b, entity)
	if d.state == confirmed {
		rendering := "yes"
		if d.held {
			rendering = "no"
		}
		b.WriteString(`"><param pname="+sip.rendering" pval="` + rendering + `"/></target></local>` + "\n")
	} else {
		b.WriteString("\"/></local>\n")
	}
	if d.other != "" {
		other := uri(d.other)
		b.WriteString("<remote><identity>")
		text(b, other)
		b.WriteString(`</identity><target uri="`)
		text(b, other)
		b.WriteString("\"/></remote>\n")
	}
	b.WriteString("</dialog>\n")
}

// text escapes for XML, also within an attribute.
func text(b *strings.Builder, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a Builder takes everything
}
