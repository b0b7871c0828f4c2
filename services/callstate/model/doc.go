// Package model knows every call of the platform by its events: who is in it and in what state, its user data, and which
// calls became one. It also knows what cannot be, and says so.
//
// # State
//
// A call is made by its first event and belongs to its CallUUID. A party is a DN with events of its own; it comes by
// EventDialing, EventRinging, EventQueued, or from another call by EventPartyChanged with that call's ConnID in
// PreviousConnID, and goes by EventReleased, EventAbandoned or EventDiverted. Somebody beyond a trunk has no events: he is known
// from those of the others. When the last party has gone the call is quiet: nobody finds it any more, and it is forgotten
// some minutes later, so that a caller from outside who is sent to another place finds his call again and a late event is
// told from one that is wrong.
//
// # Order
//
// Events of one call are numbered from 1 without holes; one that comes before its turn waits until the others have come, or
// until patience ends. Events of different calls have no order between them: a party that comes from another call may be
// announced before that call's own events have said that the party is there, and waits in the same way.
//
// # Invariants
//
// What may never happen is a [Violation] of a [Kind], counted and listed with call and reason. After one the model goes on
// with what is most likely, so that one defect is one violation: of a call that lost events nothing is called impossible.
// Events from before the model began, of a stream that no longer has all of them, are taken as they come.
//
// # Concurrency and limits
//
// All methods may be called at once: one lock, held for a moment. There is no I/O and no goroutine; time comes from the
// clock given to [New]. Events that wait, holes, parties and former ConnIDs of a call are bounded, and so are the calls
// that are quiet and the violations listed.
package model
