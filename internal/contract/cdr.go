package contract

import (
	"context"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// The doors of services/cdr for the pages. Get is voice.ErrNotFound when the tenant has no such record.
var (
	CDRs   = fabric.NewDoor[CDRQuery, CDRPage]("cdr", "list", 5*time.Second)
	CDRGet = fabric.NewDoor[CDRKey, voice.CDR]("cdr", "get", 5*time.Second)
)

// CDRQuery selects call detail records of one tenant, newest first. Zero fields select everything.
type CDRQuery struct {
	Tenant  string
	Text    string // part of the caller's number or name, or of the dialled or answered number; case is ignored
	Caller  string // the whole number
	Dialled string // the same, as dialled
	Trunk   string // that the call came or left by
	Outcome voice.Outcome
	Type    voice.CallType
	From    time.Time     // start of the call, inclusive
	Until   time.Time     // exclusive
	MinTalk time.Duration // from answer to end
	MaxMOS  float64       // the lowest score of the voice is known and at most this; 0 selects everything
	Limit   int           // 1 to 1000; 0 = 100
	After   string        // Next of the page before
}

// CDRPage is some of the records found. Records stored meanwhile neither move nor repeat those of later pages.
type CDRPage struct {
	Records []voice.CDR
	Next    string // "" on the last page
}

// CDRKey names one record.
type CDRKey struct {
	Tenant   string
	CallUUID string
}

// CDRSource gives pages of records: the door, or the service itself.
type CDRSource func(ctx context.Context, q CDRQuery) (CDRPage, error)
