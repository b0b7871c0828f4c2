// Package wav reads and writes files of sound: RIFF/WAVE with linear PCM of 8 or 16 bits, A-law or µ-law, and µ-law
// without any header, as telephone systems have always exchanged it.
//
// [Parse] looks at the header and copies nothing; [File.Mono] makes it linear sound of one channel at the rate that is
// wanted, by a band-limited filter that is meant for loading and not for the clock of the media plane. Files of
// strangers are read within [Limits], and an error says what is wrong with the file and what would be right.
//
// A [Writer] keeps its file valid all the time: sound goes to disk first, and the sizes in the header follow it, twice for
// every second of sound. So a process that is killed loses at most the last half second, and what is on disk opens
// everywhere. The file is synced (fsync) every [Format.SyncEvery] and by [Writer.Close]; a power cut costs what came
// since. A file that was cut short by something else still opens here: what is missing is missing at its end.
//
// Concurrency: none. A Writer belongs to one goroutine, everything else is values.
package wav
