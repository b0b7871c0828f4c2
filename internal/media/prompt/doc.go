// Package prompt is what the platform says: clips by tenant, language and name, and the rules by which numbers, dates and
// times are put together of them.
//
// English prompts and the music on hold are part of the program (directory en, made by `go tool task prompts` of
// configs/prompts/en.txt). A tenant puts recordings of its own beside them, in a directory of files
//
//	<tenant>/<language>/<name>.wav      or .ulaw, as in  acme/en-GB/queue/next.wav
//
// and a [Library] looks in this order: the language as asked for, then without its region, then the default one; in each
// the tenant's own file and then the built-in. A file that is new, changed or gone counts from the next time on that
// somebody asks, without a restart. A file that cannot be played is an error and no reason to say something else.
//
// Numbers are lists of names ([Cardinal], [Date], [Number] …) that follow the rules of English. A language of a tenant
// that counts in another order needs clips of whole sentences.
//
// State: built-in clips stay in memory from their first use on (2.7 MB if all are used), those of files in a cache with a limit.
// Concurrency: a Library may be used by many at once. Asking it may read a disk, so nothing on the clock of the media
// plane does it.
package prompt
