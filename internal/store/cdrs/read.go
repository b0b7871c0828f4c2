package cdrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/internal/store/sqldb"
	"parley/internal/voice"
)

// MaxPage is the most records a page holds.
const MaxPage = 1000

// Query chooses records of one tenant. Zero fields choose everything.
type Query struct {
	Tenant  string
	Text    string // part of the caller's number or name, or of the dialled or answered number; case is ignored
	Caller  string // the whole number
	Dialled string // the same
	Trunk   string // that the call came or left by
	Outcome voice.Outcome
	Type    voice.CallType
	From    time.Time // start of the call, inclusive
	Until   time.Time // exclusive
	MinTalk time.Duration
	MaxMOS  float64 // the lowest score of the call is known and at most this; 0 chooses everything
	After   string  // Next of the page before
	Limit   int     // at most MaxPage
}

// Page is some records, newest first. Next is the After of the page that follows, "" when none does.
type Page struct {
	Records []voice.CDR
	Next    string
}

// Get returns one record of a tenant, or voice.ErrNotFound.
func (s *Store) Get(ctx context.Context, tenant, callUUID string) (voice.CDR, error) {
	row := s.db.Read.QueryRowContext(ctx, s.db.Rebind(`SELECT `+columns+` FROM cdrs WHERE call_uuid = ? AND tenant = ?`), clean(callUUID), clean(tenant))
	r, err := scan(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, voice.Errorf(voice.ErrNotFound, "there is no record of this call")
	}
	return r, sqldb.Failed("read call detail record", err)
}

// List returns one page. A cursor it did not make is voice.ErrInvalid.
//
// The page is found in an index, and only its rows are read from the table: a database that reads each candidate's row to
// apply a filter would need seconds to find out that nothing matches.
func (s *Store) List(ctx context.Context, q Query) (Page, error) {
	const what = "read call detail records"
	where, args, err := q.filter()
	if err != nil {
		return Page{}, err
	}
	q.Limit = min(max(q.Limit, 1), MaxPage)
	const newest = ` ORDER BY start_us DESC, call_uuid DESC`
	pick, args := `SELECT call_uuid FROM cdrs WHERE `+where+newest+` LIMIT ?`, append(args, q.Limit+1)
	if q.Trunk != "" {
		pick, args = q.byTrunk(where, newest, args)
	}
	rows, err := s.db.Read.QueryContext(ctx, s.db.Rebind(`SELECT `+columns+` FROM cdrs WHERE call_uuid IN (`+pick+`)`+newest), args...)
	if err != nil {
		return Page{}, sqldb.Failed(what, err)
	}
	defer rows.Close()
	var page Page
	for rows.Next() {
		if len(page.Records) == q.Limit {
			page.Next = cursorOf(&page.Records[q.Limit-1])
			break
		}
		r, err := scan(rows.Scan)
		if err != nil {
			return Page{}, sqldb.Failed(what, err)
		}
		page.Records = append(page.Records, r)
	}
	return page, sqldb.Failed(what, rows.Err())
}

// byTrunk chooses the newest calls that came by the trunk, and those that left by it, each from its index, and of both the
// newest. args are those of where, and the limit.
func (q *Query) byTrunk(where, newest string, args []any) (pick string, all []any) {
	way := func(column string) string {
		all = append(append(all, clean(q.Trunk)), args...)
		return `SELECT call_uuid, start_us FROM (SELECT call_uuid, start_us FROM cdrs WHERE ` + column + ` <> '' AND ` + column + ` = ? AND ` + where + newest + ` LIMIT ?) AS by_` + column
	}
	pick = `SELECT call_uuid FROM (` + way("trunk_in") + ` UNION ` + way("trunk_out") + `) AS both_ways` + newest + ` LIMIT ?`
	return pick, append(all, args[len(args)-1])
}

func (q *Query) filter() (where string, args []any, err error) {
	where, args = `tenant = ?`, []any{clean(q.Tenant)}
	and := func(condition string, values ...any) {
		where, args = where+` AND `+condition, append(args, values...)
	}
	if q.Caller != "" {
		and(`caller = ?`, clean(q.Caller))
	}
	if q.Dialled != "" {
		and(`dialled = ?`, clean(q.Dialled))
	}
	if q.Outcome != "" {
		and(`outcome = ?`, cut(string(q.Outcome), maxOutcome))
	}
	if q.Type != voice.CallUnknown {
		and(`type = ?`, int64(q.Type))
	}
	if q.MinTalk > 0 {
		and(`talk_us >= ?`, q.MinTalk.Microseconds())
	}
	if q.MaxMOS > 0 {
		most := hundredths(q.MaxMOS)
		if most <= mostPoor { // the index of these is used only when its own words stand here
			and(poor)
		} else {
			and(`worst_mos > 0`)
		}
		and(`worst_mos <= ?`, most)
	}
	if q.Text != "" {
		and(`search LIKE ? ESCAPE '\'`, sqldb.Like(oneLine(clean(q.Text))))
	}
	if !q.From.IsZero() {
		and(`start_us >= ?`, q.From.UnixMicro())
	}
	if !q.Until.IsZero() {
		and(`start_us < ?`, q.Until.UnixMicro())
	}
	if q.After != "" {
		start, callUUID, err := parseCursor(q.After)
		if err != nil {
			return "", nil, err
		}
		and(`(start_us, call_uuid) < (?, ?)`, start, callUUID)
	}
	return where, args, nil
}

// cursorOf names a record's place in the order of pages: start in microseconds, a dash, call UUID.
func cursorOf(r *voice.CDR) string { return fmt.Sprintf("%d-%s", r.Start.UnixMicro(), r.CallUUID) }

func parseCursor(s string) (start int64, callUUID string, err error) {
	first, callUUID, ok := strings.Cut(s, "-")
	if start, err = strconv.ParseInt(first, 10, 64); !ok || err != nil || callUUID == "" || len(callUUID) > maxID || clean(callUUID) != callUUID {
		return 0, "", voice.Invalid(voice.FieldError{Field: "after", Reason: "is not the next of a page"})
	}
	return start, callUUID, nil
}

func scan(scan func(...any) error) (voice.CDR, error) {
	var r voice.CDR
	var start, ringing, answer, end, talk, events, worst, queued int64
	var media string
	err := scan(&r.CallUUID, &r.Tenant, &r.ThreadID, &r.Node, &r.Type, &r.Caller, &r.CallerName, &r.Dialled, &r.Answered, &r.TrunkIn, &r.TrunkOut,
		&start, &ringing, &answer, &end, &talk, &r.Outcome, &r.Status, &r.EndedBy, &r.Reason, &r.SIPCallID, &events, &media, &worst, &r.RoutePoint, &queued)
	r.Start, r.Ringing, r.Answer, r.End = fromMicro(start), fromMicro(ringing), fromMicro(answer), fromMicro(end)
	r.Queued = time.Duration(queued) * time.Microsecond
	r.Talk, r.Events = time.Duration(talk)*time.Microsecond, uint64(max(events, 0))
	if err == nil {
		err = readMedia(&r, media)
	}
	return r, err
}
