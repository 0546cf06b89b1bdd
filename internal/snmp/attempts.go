package snmp

import (
	"slices"
	"time"
)

// How long a credential rests that a device has refused, and how often a device may
// refuse users. Devices that lock users out do so after three to five wrong passwords
// within some minutes.
const (
	firstRefusal  = 30 * time.Minute
	longestRest   = 24 * time.Hour
	refusalWindow = 15 * time.Minute
	refusalsIn    = 2 // in one window
)

// Attempts says which of several credentials may be tried at one device, and when,
// so that no user is ever locked out. It is not safe for concurrent use.
//
//	what happened   what it means for the credential
//	opened          nothing stands against it
//	refused         it rests for half an hour, then one, two, up to a day; after two
//	                refusals within a quarter of an hour no user is tried until
//	                that is over
//
// Silence means nothing here: how often a device is asked that does not answer is for
// the caller to say. To versions 1 and 2c a wrong community is silence.
type Attempts struct {
	credentials []Credential
	tries       []attempt
	recent      []time.Time // of the last refusals, the oldest first
}

type attempt struct {
	refusals int
	last     time.Time // when it was refused
	next     time.Time // it may be tried again then
}

// Refusal is what Attempts remembers of one credential, for the caller to keep.
type Refusal struct {
	// Credential is its place in the list.
	Credential int
	// Times is how often in a row it was refused.
	Times int
	// Last is when it was refused last, Next when it may be tried again.
	Last, Next time.Time
}

// NewAttempts begins with nothing against any of the credentials. Of the refusals, which
// an earlier Attempts gave, those of credentials that are not there are left out.
func NewAttempts(credentials []Credential, refusals ...Refusal) *Attempts {
	a := &Attempts{credentials: credentials, tries: make([]attempt, len(credentials))}
	for _, r := range refusals {
		if r.Credential < 0 || r.Credential >= len(a.tries) || r.Times < 1 {
			continue
		}
		a.tries[r.Credential] = attempt{refusals: r.Times, last: r.Last, next: r.Next}
		if credentials[r.Credential].version() == V3 {
			a.recent = append(a.recent, r.Last)
		}
	}
	slices.SortFunc(a.recent, time.Time.Compare)
	a.recent = a.recent[max(0, len(a.recent)-refusalsIn):]
	return a
}

// Due returns when credential i may be tried: a time that is not after now means at once.
func (a *Attempts) Due(i int) time.Time {
	at := a.tries[i].next
	if a.credentials[i].version() != V3 || len(a.recent) < refusalsIn {
		return at
	}
	if pause := a.recent[0].Add(refusalWindow); pause.After(at) {
		return pause
	}
	return at
}

// Opened records that the device let credential i in.
func (a *Attempts) Opened(i int) { a.tries[i] = attempt{} }

// Refused records that the device refused credential i, as the function Refused says of
// an error.
func (a *Attempts) Refused(now time.Time, i int) {
	t := &a.tries[i]
	t.refusals++
	t.last, t.next = now, now.Add(backOff(firstRefusal, longestRest, t.refusals))
	if a.credentials[i].version() == V3 {
		a.recent = append(a.recent[max(0, len(a.recent)+1-refusalsIn):], now)
	}
}

// Forgive has every credential tried again as soon as no user can be locked out by it, as
// when a person says that passwords were mended.
func (a *Attempts) Forgive() {
	for i := range a.tries {
		a.tries[i].next = time.Time{}
	}
}

// Refusals are what stands against the credentials, in their order.
func (a *Attempts) Refusals() []Refusal {
	var out []Refusal
	for i, t := range a.tries {
		if t.refusals > 0 {
			out = append(out, Refusal{Credential: i, Times: t.refusals, Last: t.last, Next: t.next})
		}
	}
	return out
}

// backOff doubles first with each failure after the first one.
func backOff(first, longest time.Duration, failures int) time.Duration {
	d := first
	for range min(failures, 30) - 1 {
		d = min(2*d, longest)
	}
	return d
}
