package contract

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parley/internal/voice"
)

// cdrColumn is a column of the CSV export, and what stands in it.
type cdrColumn struct {
	name string
	cell func(r *voice.CDR) string
}

// cdrColumns are all columns. New ones go to the end, so that who reads by place need not change.
var cdrColumns = slices.Concat([]cdrColumn{
	{"call_uuid", func(r *voice.CDR) string { return r.CallUUID }},
	{"start", func(r *voice.CDR) string { return csvTime(r.Start) }},
	{"ringing", func(r *voice.CDR) string { return csvTime(r.Ringing) }},
	{"answer", func(r *voice.CDR) string { return csvTime(r.Answer) }},
	{"end", func(r *voice.CDR) string { return csvTime(r.End) }},
	{"talk_seconds", func(r *voice.CDR) string { return strconv.FormatFloat(r.Talk.Seconds(), 'f', 3, 64) }},
	{"type", func(r *voice.CDR) string { return r.Type.String() }},
	{"caller", func(r *voice.CDR) string { return r.Caller }},
	{"caller_name", func(r *voice.CDR) string { return r.CallerName }},
	{"dialled", func(r *voice.CDR) string { return r.Dialled }},
	{"answered", func(r *voice.CDR) string { return r.Answered }},
	{"trunk_in", func(r *voice.CDR) string { return r.TrunkIn }},
	{"trunk_out", func(r *voice.CDR) string { return r.TrunkOut }},
	{"outcome", func(r *voice.CDR) string { return string(r.Outcome) }},
	{"status", func(r *voice.CDR) string { return strconv.Itoa(r.Status) }},
	{"ended_by", func(r *voice.CDR) string { return r.EndedBy }},
	{"reason", func(r *voice.CDR) string { return r.Reason }},
	{"thread_id", func(r *voice.CDR) string { return r.ThreadID }},
	{"node", func(r *voice.CDR) string { return r.Node }},
	{"sip_call_id", func(r *voice.CDR) string { return r.SIPCallID }},
	{"events", func(r *voice.CDR) string { return strconv.FormatUint(r.Events, 10) }},
	{"worst_mos", func(r *voice.CDR) string { return csvScore(r.WorstMOS()) }},
},
	mediaColumns("caller", func(r *voice.CDR) *voice.MediaQuality { return r.CallerMedia }),
	mediaColumns("callee", func(r *voice.CDR) *voice.MediaQuality { return r.CalleeMedia }),
	[]cdrColumn{
		{"route_point", func(r *voice.CDR) string { return r.RoutePoint }},
		{"queued_seconds", func(r *voice.CDR) string { return strconv.FormatFloat(r.Queued.Seconds(), 'f', 3, 64) }},
	},
)

// mediaColumns are those about the voice of one side: received is what it sent, as it arrived at the platform; sent what
// it was sent, as it says it arrived.
func mediaColumns(side string, of func(*voice.CDR) *voice.MediaQuality) []cdrColumn {
	columns := []cdrColumn{{side + "_round_trip_ms", func(r *voice.CDR) string {
		if q := of(r); q != nil {
			return csvFigure(q.RoundTrip)
		}
		return ""
	}}}
	for _, way := range []struct {
		name string
		of   func(*voice.MediaQuality) *voice.VoiceQuality
	}{
		{"received", func(q *voice.MediaQuality) *voice.VoiceQuality { return &q.Received }},
		{"sent", func(q *voice.MediaQuality) *voice.VoiceQuality { return &q.Sent }},
	} {
		add := func(name string, cell func(*voice.VoiceQuality) string) {
			columns = append(columns, cdrColumn{side + "_" + way.name + "_" + name, func(r *voice.CDR) string {
				if q := of(r); q != nil {
					return cell(way.of(q))
				}
				return ""
			}})
		}
		add("codec", func(q *voice.VoiceQuality) string { return q.Codec })
		add("packets", func(q *voice.VoiceQuality) string { return strconv.FormatUint(q.Packets, 10) })
		add("loss_percent", func(q *voice.VoiceQuality) string { return csvFigure(q.Loss) })
		add("jitter_ms", func(q *voice.VoiceQuality) string { return csvFigure(q.Jitter) })
		add("mos", func(q *voice.VoiceQuality) string { return csvScore(q.MOS()) })
	}
	return columns
}

// csvFigure is empty for what is not known.
func csvFigure(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', 2, 64)
}

func csvScore(mos float64) string {
	if mos == 0 {
		return ""
	}
	return strconv.FormatFloat(mos, 'f', 2, 64)
}

// CDRContentType is the media type of what CDRCSV writes (RFC 4180 §3).
const CDRContentType = "text/csv; charset=utf-8; header=present"

// csvPage is how many records are in memory at a time.
const csvPage = 500

// CDRCSV is the records that a query selects as CSV (RFC 4180), newest first, with a line of names at the top. Times
// are UTC (RFC 3339, milliseconds), empty where something did not happen. A cell that a spreadsheet would take for a
// formula gets an apostrophe in front; a number such as +4930123 is none and stays.
//
// It reads a page at a time, when it is read from, so its memory is bounded however long the result. q.Limit and q.After
// are its own business. The first page is read at once: an error then is the caller's to answer with, one that comes
// later comes out of Read, and whoever sends this must then break off rather than end well.
func CDRCSV(ctx context.Context, source CDRSource, q CDRQuery) (io.Reader, error) {
	q.Limit, q.After = csvPage, ""
	r := &cdrReader{ctx: ctx, source: source, q: q, more: true}
	r.w = csv.NewWriter(&r.buf)
	r.w.UseCRLF = true
	names := make([]string, len(cdrColumns))
	for i, c := range cdrColumns {
		names[i] = c.name
	}
	if err := r.w.Write(names); err != nil {
		return nil, fmt.Errorf("write CSV: %w", err)
	}
	return r, r.page()
}

type cdrReader struct {
	ctx    context.Context //nolint:containedctx // an io.Reader has no other place for it; it lives as long as one response
	source CDRSource
	q      CDRQuery
	more   bool
	buf    bytes.Buffer
	w      *csv.Writer
}

// Read is part of io.Reader.
func (r *cdrReader) Read(p []byte) (int, error) {
	for r.buf.Len() == 0 {
		if !r.more {
			return 0, io.EOF
		}
		if err := r.page(); err != nil {
			return 0, err
		}
	}
	return r.buf.Read(p)
}

// page puts the next records into the buffer.
func (r *cdrReader) page() error {
	page, err := r.source(r.ctx, r.q)
	if err != nil {
		return err
	}
	cells := make([]string, len(cdrColumns))
	for i := range page.Records {
		for j, c := range cdrColumns {
			cells[j] = harmless(c.cell(&page.Records[i]))
		}
		if err := r.w.Write(cells); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	r.w.Flush()
	r.more, r.q.After = page.Next != "", page.Next
	return r.w.Error()
}

func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// formulaStarts are the characters that make a spreadsheet take what follows for a formula, in either width, and the
// control characters that some drop before they look.
const formulaStarts = "=+-@\t\r\n＝＋－＠"

// harmless puts an apostrophe before what would be a formula. Names and numbers come from strangers.
func harmless(cell string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " "))
	if first == utf8.RuneError || !strings.ContainsRune(formulaStarts, first) {
		return cell
	}
	if digits := strings.TrimPrefix(cell, "+"); digits != "" && strings.Trim(digits, "0123456789") == "" {
		return cell // an international number
	}
	return "'" + cell
}
