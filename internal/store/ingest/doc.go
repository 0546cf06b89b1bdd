// Package ingest is the way of events into the store: it reads the hub's log, turns
// each event into a row (package row), gives rows in batches to the engine that package
// keeper runs, and keeps the store's place in the log. It also fills days again that
// were set aside, and removes what is too old.
//
// What it promises: whatever ends in whichever moment, this program, the engine, the
// hub or the machine, each event that the log still holds is in the store once.
//
//	Rows are durable behind a barrier alone, and what is in the engine after a crash is
//	no prefix of what was given to it. So the place, kept in a file beside the engine's
//	folder, moves only behind a barrier; and after the engine ended uncleanly, or a batch
//	failed, rows behind the place are deleted and read from the log again.
//
//	what happens                   what is done
//	the engine ends                wait for it, delete behind the place, read from there
//	this program ends              the same at its next start, unless nothing is behind
//	the hub goes away              the reader waits; nothing is given twice
//	the disk is nearly full        wait until there is room; the log holds the events
//	the log is another one         its rows have the next log's number; old days stay
//	a day is set aside             read that day's events from the log beside the rest
//	the place file is damaged      begin at the log's oldest event; older rows stay
//	an event is no event           count it; the hub admits none such
package ingest
