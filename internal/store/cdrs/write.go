package cdrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"parley/internal/store/sqldb"
	"parley/internal/voice"
)

const (
	// MaxText is the length in bytes to which numbers, names and reasons are cut.
	MaxText = 256
	// maxOutcome is the same for the outcome, which is one of a few words.
	maxOutcome = 32
	// maxID is the length in bytes of a tenant or a call UUID; a record with a longer one is refused, not cut.
	maxID = 128
)

// columns of the table, in the order of row and scan; search stands behind them.
const columns = `call_uuid, tenant, thread_id, node, type, caller, caller_name, dialled, answered, trunk_in, trunk_out,
	start_us, ringing_us, answer_us, end_us, talk_us, outcome, status, ended_by, reason, sip_call_id, events, media, worst_mos, route_point, queued_us`

// Check says why a record cannot be stored, now or later: it names no call or no tenant, or says not when it began.
func Check(r *voice.CDR) error {
	switch {
	case r.CallUUID == "" || len(r.CallUUID) > maxID || clean(r.CallUUID) != r.CallUUID:
		return voice.Invalid(voice.FieldError{Field: "call_uuid", Reason: fmt.Sprintf("is not 1 to %d bytes of text", maxID)})
	case r.Tenant == "" || len(r.Tenant) > maxID || clean(r.Tenant) != r.Tenant:
		return voice.Invalid(voice.FieldError{Field: "tenant", Reason: fmt.Sprintf("is not 1 to %d bytes of text", maxID)})
	case r.Start.Year() < 1970 || r.Start.Year() > 9999:
		return voice.Invalid(voice.FieldError{Field: "start", Reason: "is no time between the years 1970 and 9999"})
	}
	return nil
}

// Insert stores records in one transaction and returns how many were not there before. A record whose call UUID is
// there already changes nothing. One that [Check] refuses fails the batch.
func (s *Store) Insert(ctx context.Context, records []voice.CDR) (added int64, err error) {
	const what = "store call detail records"
	rows := make([][]any, len(records))
	for i := range records {
		if err := Check(&records[i]); err != nil {
			return 0, fmt.Errorf("%s: %w", what, err)
		}
		rows[i] = row(&records[i])
	}
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return 0, sqldb.Failed(what, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a Commit it does nothing
	added, err = s.db.Rows(ctx, tx, `INSERT INTO cdrs (`+columns+`, search) VALUES `, ` ON CONFLICT (call_uuid) DO NOTHING`, rows)
	if err != nil {
		return 0, sqldb.Failed(what, err)
	}
	if err := tx.Commit(); err != nil {
		return 0, sqldb.Failed(what, err)
	}
	return added, nil
}

func row(r *voice.CDR) []any {
	caller, name, dialled, answered := clean(r.Caller), clean(r.CallerName), clean(r.Dialled), clean(r.Answered)
	return []any{
		r.CallUUID, r.Tenant, clean(r.ThreadID), clean(r.Node), int64(r.Type), caller, name, dialled, answered, clean(r.TrunkIn), clean(r.TrunkOut),
		micro(r.Start), micro(r.Ringing), micro(r.Answer), micro(r.End), max(r.Talk, 0).Microseconds(), cut(string(r.Outcome), maxOutcome), int64(r.Status),
		clean(r.EndedBy), clean(r.Reason), clean(r.SIPCallID), int64(min(r.Events, math.MaxInt64)), mediaText(r), hundredths(r.WorstMOS()),
		clean(r.RoutePoint), max(r.Queued, 0).Microseconds(),
		searchText(caller, dialled, answered, name),
	}
}

// searchText is what a text filter looks into. The line ends keep a match from reaching over from one field into the next.
func searchText(fields ...string) string {
	for i, f := range fields {
		fields[i] = oneLine(f)
	}
	return strings.Join(fields, "\n")
}

func oneLine(s string) string { return strings.ReplaceAll(strings.ToLower(s), "\n", " ") }

// clean makes text that both databases take (no NUL, valid UTF-8) and that ends within MaxText, at a character's end.
func clean(s string) string { return cut(s, MaxText) }

func cut(s string, most int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if len(s) <= most {
		return s
	}
	for !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// micro is 0 for what did not happen, and for times no calendar of ours has.
func micro(t time.Time) int64 {
	if t.IsZero() || t.Year() < 1970 || t.Year() > 9999 {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Expire deletes records of calls that began before a time, at most limit and the oldest of each tenant first, and
// returns how many. As long as it returns limit there may be more.
func (s *Store) Expire(ctx context.Context, before time.Time, limit int) (deleted int64, err error) {
	const what = "delete old call detail records"
	for tenant := ""; deleted < int64(limit); {
		next := s.db.Read.QueryRowContext(ctx, s.db.Rebind(`SELECT tenant FROM cdrs WHERE tenant > ? ORDER BY tenant LIMIT 1`), tenant)
		if err := next.Scan(&tenant); errors.Is(err, sql.ErrNoRows) {
			return deleted, nil
		} else if err != nil {
			return deleted, sqldb.Failed(what, err)
		}
		res, err := s.db.Write.ExecContext(ctx, s.db.Rebind(`DELETE FROM cdrs WHERE call_uuid IN
			(SELECT call_uuid FROM cdrs WHERE tenant = ? AND start_us < ? ORDER BY start_us, call_uuid LIMIT ?)`),
			tenant, before.UnixMicro(), int64(limit)-deleted)
		if err != nil {
			return deleted, sqldb.Failed(what, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return deleted, sqldb.Failed(what, err)
		}
		deleted += n
	}
	return deleted, nil
}
