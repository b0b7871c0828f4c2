// Package recording records calls of a SIP node: the caller in the left channel of a WAV file, the other end in the right
// one, and beside it a ledger (voice.RecordingLedger) that says what the file has and what it lacks.
//
// A [Tape] is a recording under way. It hears two ends ([Tape.Hear]), which may be replaced at any time, so that it follows
// a call over hold, transfer and conference; it knows nothing of calls but their names. Both ends are heard by the one
// clock of the media plane, so what was said at a moment is at one place of the file. A pause that was asked for is silence
// of its length or is left out ([Config.Pauses]); while no end is heard at all there is a gap in the ledger, and nothing in
// the file.
//
// State: <dir>/<tenant>/<date>/<id>.wav with <id>.json, which is <id>.open.json while the recording goes on. Nothing else:
// lists are read from the directories. A process that is killed leaves a file that opens everywhere (packages record and
// wav); [Recordings.Run] of the next one finds what is still open, and completes file and ledger.
//
// A call never waits for the disk and never ends because of it: files are made, written and hashed on a goroutine of each
// tape, and when the disk fails, or less is free than [Config.ReserveMB], the ledger ends with an error and the health
// check "recordings" tells. What is older than [Config.RetentionDays], and the oldest beyond [Config.QuotaMB], is deleted.
//
// Concurrency: all methods may be called from anywhere. Functions given to a tape are called from its goroutine, without locks.
//
// Limits: [Config.MaxTapes] at once, [maxPauses] pauses each; 64 KB of memory and one goroutine a tape; [record.MaxLength].
package recording
