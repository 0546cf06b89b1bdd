// Package vlogs is a client of VictoriaLogs' HTTP API (v1.52, docs.victoriametrics.com/
// victorialogs): it inserts rows, asks queries, makes what was inserted durable and
// deletes. It knows the engine by its documented interface alone, at the Unix socket of
// our own child process (package keeper) or at the address of a cluster, and knows
// nothing of events.
package vlogs

import "errors"

// Field is one name and value of a row. Values are text, as in the engine.
type Field struct{ Name, Value string }

// What decides what a caller does next.
var (
	// ErrReadOnly says that the engine takes no rows, for want of disk space. The rows
	// were not stored: free space, and insert them again.
	ErrReadOnly = errors.New("the store takes no more events until there is space on its disk")
	// ErrBusy says that too many queries run already.
	ErrBusy = errors.New("the store is busy with other queries: ask again")
	// ErrDeadline says that the engine took longer than Query.Timeout allows, so that rows are missing.
	ErrDeadline = errors.New("the query took too long: ask for a shorter time range or less")
	// ErrLimit says that there were more rows than Query.Limit.
	ErrLimit = errors.New("there are more rows than the limit")
	// ErrSlow says that the caller took rows too slowly, so that the query was ended:
	// one that waits for its reader makes all others wait.
	ErrSlow = errors.New("the rows of this query were read too slowly: ask for a shorter time range or fewer fields")
	// ErrBroken says that the answer ended in the middle, as when the engine dies.
	ErrBroken = errors.New("the store broke off its answer")
	// ErrNodeAway says that a storage node of a cluster does not answer, so that an answer
	// would lack its rows. It comes with ErrAway.
	ErrNodeAway = errors.New("a storage node does not answer")
	// ErrAway says that nobody answers at the address: the engine is not running, or starts.
	ErrAway = errors.New("the store's engine does not answer")
)

// RefusedError is an answer of the engine that says no, such as to a query that it
// cannot parse.
type RefusedError struct {
	Status int    // of HTTP
	Text   string // the engine's words, at most 4 KiB
}

// Error implements error.
func (e *RefusedError) Error() string {
	return "the store's engine refuses: " + e.Text
}
