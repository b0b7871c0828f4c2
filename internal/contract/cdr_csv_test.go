package contract

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"parley/internal/voice"
)

func TestCSVIsReadBackAsItWas(t *testing.T) {
	start := time.Date(2026, 3, 1, 23, 59, 59, 999_000_000, time.FixedZone("CET", 3600))
	record := voice.CDR{
		CallUUID: "u1", Tenant: "demo", Type: voice.CallInbound, Caller: "+4930123", CallerName: "O'Neil, \"Bruno\"\r\nBaker; Ä", Dialled: "1001",
		Start: start, End: start.Add(1500 * time.Millisecond), Talk: 1500 * time.Millisecond, Outcome: voice.OutcomeBusy, Status: 486, Events: 3,
	}
	r, err := CDRCSV(t.Context(), func(_ context.Context, q CDRQuery) (CDRPage, error) {
		if q.After == "" {
			return CDRPage{Records: []voice.CDR{record}, Next: "2"}, nil
		}
		return CDRPage{Records: []voice.CDR{{CallUUID: "u2"}}}, nil
	}, CDRQuery{Tenant: "demo", Limit: 1, After: "9"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); strings.Count(string(text), "\r\n") != lines {
		t.Errorf("not every line ends with CRLF:\n%q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v, want the names and two records:\n%s", len(rows), err, text)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"call_uuid": "u1", "start": "2026-03-01T22:59:59.999Z", "ringing": "", "answer": "", "end": "2026-03-01T23:00:01.499Z", "talk_seconds": "1.500",
		"type": "inbound", "caller": "+4930123", "caller_name": "O'Neil, \"Bruno\"\nBaker; Ä", "dialled": "1001", "outcome": "busy", "status": "486", "events": "3",
	} {
		if got[name] != want { // the reader of encoding/csv makes \r\n in a cell \n
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestCSVHasNoFormulas(t *testing.T) {
	for cell, want := range map[string]string{
		`=HYPERLINK("http://evil")`: `'=HYPERLINK("http://evil")`,
		"+1+cmd|'/c calc'!A1":       "'+1+cmd|'/c calc'!A1",
		"-2+3":                      "'-2+3",
		"-5":                        "'-5",
		"@SUM(A1)":                  "'@SUM(A1)",
		"\t=1":                      "'\t=1",
		"\r=1":                      "'\r=1",
		"\n=1":                      "'\n=1",
		"  =1":                      "'  =1",
		"＝1":                        "'＝1",
		"+":                         "'+",
		"+4930123":                  "+4930123",
		"++4930123":                 "'++4930123",
		"1001":                      "1001",
		"*72":                       "*72",
		"Alice":                     "Alice",
		"a=b":                       "a=b",
		"":                          "",
		" ":                         " ",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("harmless(%q) = %q, want %q", cell, got, want)
		}
	}
}

func TestCSVTellsOfErrors(t *testing.T) {
	broken := errors.New("the database is away")
	source := func(fail int) CDRSource {
		n := 0
		return func(context.Context, CDRQuery) (CDRPage, error) {
			if n++; n == fail {
				return CDRPage{}, broken
			}
			return CDRPage{Records: []voice.CDR{{CallUUID: fmt.Sprint(n)}}, Next: "more"}, nil
		}
	}
	if _, err := CDRCSV(t.Context(), source(1), CDRQuery{}); !errors.Is(err, broken) {
		t.Errorf("CDRCSV without a first page = %v", err)
	}
	r, err := CDRCSV(t.Context(), source(3), CDRQuery{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if !errors.Is(err, broken) || strings.Count(string(text), "\r\n") != 3 {
		t.Errorf("%q, %v, want the names, two records and the error", text, err)
	}
}

// TestCSVHoldsOnePage reads 100,000 records and looks at what is kept meanwhile.
func TestCSVHoldsOnePage(t *testing.T) {
	left := 200
	r, err := CDRCSV(t.Context(), func(_ context.Context, q CDRQuery) (CDRPage, error) {
		left--
		page := CDRPage{Records: make([]voice.CDR, q.Limit)}
		if left > 0 {
			page.Next = "more"
		}
		return page, nil
	}, CDRQuery{})
	if err != nil {
		t.Fatal(err)
	}
	total, most := 0, 0
	chunk := make([]byte, 4096)
	for {
		n, err := r.Read(chunk)
		total += n
		most = max(most, r.(*cdrReader).buf.Cap())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total < 1<<20 || most > total/20 {
		t.Errorf("%d of %d bytes were in memory at once", most, total)
	}
}
