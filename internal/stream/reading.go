package stream

import (
	"fmt"
	"time"
)

// ReaderState says how a reader of the log does.
type ReaderState string

// States of readers.
const (
	// ReaderOK: it has what there is, or nearly.
	ReaderOK ReaderState = "ok"
	// ReaderBehind: it works and has much left to read.
	ReaderBehind ReaderState = "behind"
	// ReaderWaiting: something failed, and will be tried again.
	ReaderWaiting ReaderState = "waiting"
	// ReaderStopped: nobody reads in its name.
	ReaderStopped ReaderState = "stopped"
)

// BehindEvents is how far behind the end of the log a reader is called behind.
const BehindEvents = 10_000

// Reading is how one reader does. The zero value of Trouble means that it reads.
type Reading struct {
	Next    Offset    // where it goes on
	Tail    Offset    // the end of the log, as it knows it
	Seen    time.Time // when it last read, zero for never
	Trouble string    // why it waits
}

// Lag returns how many offsets the reader has left; no more events than that.
func (r *Reading) Lag() uint64 { return r.Tail - min(r.Next, r.Tail) }

// Judge returns the reader's state and, when it is not ok, why.
func (r *Reading) Judge() (ReaderState, string) {
	switch lag := r.Lag(); {
	case r.Trouble != "":
		return ReaderWaiting, r.Trouble
	case lag > BehindEvents:
		return ReaderBehind, fmt.Sprintf("%d events behind the end of the log", lag)
	}
	return ReaderOK, ""
}
