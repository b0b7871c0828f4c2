package contract

import (
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// CDRs is the door of services/cdr for the pages.
var CDRs = fabric.NewDoor[CDRQuery, CDRPage]("cdr", "list", 5*time.Second)

// CDRQuery selects call detail records of one tenant, newest first. Zero fields select everything.
type CDRQuery struct {
	Tenant  string
	Text    string // part of caller, dialled or answered number
	Outcome voice.Outcome
	Type    voice.CallType
	From    time.Time // start of the call, inclusive
	Until   time.Time // exclusive
	Limit   int       // 1 to 1000; 0 = 100
	After   string    // Next of the page before
}

// CDRPage is some of the records found.
type CDRPage struct {
	Records []voice.CDR
	Next    string // "" on the last page
}
