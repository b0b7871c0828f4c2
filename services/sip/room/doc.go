// Package room holds the conferences of a SIP node: who is in them, as what, and what is recorded of them.
//
// A room belongs to a tenant and is mixed on this node (package mix); calls of other nodes cannot enter. It begins with the
// first call that enters and ends with the last that leaves. Who is alone hears music; a tone tells those who talk that
// somebody came or went, unless it is one whom nobody hears. When a room is recorded, a prompt says so.
//
// State: rooms and participants in two tables, nothing on disk but recordings. Concurrency: one lock over the tables, held
// while a participant enters or leaves; sound never meets it. Clips are loaded before it is taken.
//
// Limits: [Options.MaxRooms] of the node, participants of a room as package mix has it, one recording a room.
package room
