package snmp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long a credential rests that did not open a device, and how often a device may
// refuse us. Devices that lock users out do so after three to five wrong passwords
// within some minutes.
const (
	firstSilence  = time.Minute
	longestSilent = time.Hour
	firstRefusal  = 30 * time.Minute
	longestRefuse = 24 * time.Hour
	refusalWindow = 15 * time.Minute
	refusalsIn    = 2 // in one window
	missesAllowed = 3 // of one that has worked
)

// ErrResting is a device of which no credential may be tried now.
var ErrResting = errors.New("no credential may be tried yet")

// Attempts says which of several credentials may be tried at one device, and when,
// so that no user is ever locked out. It is not safe for concurrent use.
//
//	what happened   what it means for the credential
//	opened          it alone is tried from now on
//	silence         it rests for a minute, then two, four, up to an hour; one
//	                that has worked is tried alone three times more before
//	                others have their turn
//	refused         it rests for half an hour, then one, two, up to a day; after two
//	                refusals within a quarter of an hour no user is tried until
//	                that is over
type Attempts struct {
	credentials []Credential
	tries       []attempt
	works       int // the one that opened the device last; -1 is none
	misses      int // how often that one met silence since
	refusals    []time.Time
}

type attempt struct {
	next     time.Time // it may be tried again then
	silences int
	refusals int
}

// NewAttempts begins with the credentials in the order in which they are tried.
func NewAttempts(credentials []Credential) *Attempts {
	return &Attempts{credentials: credentials, tries: make([]attempt, len(credentials)), works: -1}
}

// Next returns the credential that may be tried now, and false if none may.
func (a *Attempts) Next(now time.Time) (int, bool) {
	if a.works >= 0 && a.misses < missesAllowed {
		return a.works, true
	}
	for i := range a.tries {
		if !a.due(i).After(now) {
			return i, true
		}
	}
	return 0, false
}

// Due returns when the next credential may be tried: now, or later.
func (a *Attempts) Due(now time.Time) time.Time {
	if _, ok := a.Next(now); ok || len(a.tries) == 0 {
		return now
	}
	first := a.due(0)
	for i := range a.tries {
		if at := a.due(i); at.Before(first) {
			first = at
		}
	}
	return first
}

// due is when credential i may be tried.
func (a *Attempts) due(i int) time.Time {
	at := a.tries[i].next
	if a.credentials[i].version() != V3 || len(a.refusals) < refusalsIn {
		return at
	}
	if pause := a.refusals[len(a.refusals)-refusalsIn].Add(refusalWindow); pause.After(at) {
		return pause
	}
	return at
}

// Note records how trying credential i went: nil is that the device let it in.
func (a *Attempts) Note(now time.Time, i int, err error) {
	t := &a.tries[i]
	switch {
	case err == nil:
		*t = attempt{}
		a.works, a.misses = i, 0
	case errors.Is(err, context.Canceled):
	case Refused(err):
		t.refusals++
		t.next = now.Add(backOff(firstRefusal, longestRefuse, t.refusals))
		a.refusals = append(a.refusals[max(0, len(a.refusals)+1-refusalsIn):], now)
		if a.works == i {
			a.works = -1
		}
	default:
		if a.works == i {
			a.misses++
		}
		t.silences++
		t.next = now.Add(backOff(firstSilence, longestSilent, t.silences))
	}
}

// backOff doubles first with each failure after the first one.
func backOff(first, longest time.Duration, failures int) time.Duration {
	d := first
	for range min(failures, 30) - 1 {
		d = min(2*d, longest)
	}
	return d
}

// OpenAny opens a device with the first of the credentials that it lets in, as far
// as a allows to try them, and returns which one that was. What it asks is when the
// device started. A host that says that nobody listens is not asked with the others.
func OpenAny(ctx context.Context, t Target, credentials []Credential, a *Attempts, now func() time.Time) (*Client, int, error) {
	var failed error
	for range credentials {
		i, ok := a.Next(now())
		if !ok {
			break
		}
		t.Credential = credentials[i]
		c, err := Open(ctx, t)
		if err != nil {
			return nil, 0, err
		}
		_, err = c.Get(ctx, sysUpTime)
		a.Note(now(), i, err)
		if err == nil {
			return c, i, nil
		}
		c.Close()
		failed = fmt.Errorf("%v: %w", t.Credential, err)
		if ctx.Err() != nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnreachable) {
			break
		}
	}
	if failed == nil {
		return nil, 0, fmt.Errorf("open %s: %w; the next one at %s", t.Addr, ErrResting, a.Due(now()).UTC().Format(time.RFC3339))
	}
	return nil, 0, fmt.Errorf("open %s with %w", t.Addr, failed)
}

// sysUpTime is when the device's agent started (RFC 3418).
const sysUpTime = "1.3.6.1.2.1.1.3.0"
