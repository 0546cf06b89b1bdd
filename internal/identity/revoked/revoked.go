// Package revoked is the list of what was revoked, in memory, because every handshake
// asks: the hub's own, and the copy of a store that follows it.
//
// An entry names either one certificate, by its serial, or an identity. The latter ends
// every certificate of that identity which began before it.
//
//	target            ends certificates of
//	node/HOST         role node of the host
//	agent/HOST        role agent that speak for every agent of the host
//	agent/HOST/*      role agent that are bound to one agent of the host
//	agent/HOST/ID     role agent that are bound to this one
//	serial:HEX        any role, whenever it began
package revoked

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// Entry is one revocation.
type Entry struct {
	Target        string
	Time          time.Time // when it was decided
	Reason, Actor string
}

// List is what was revoked. It may be used by many goroutines. It is bounded by what
// is added to it.
type List struct {
	mu      sync.RWMutex // guards what follows
	targets map[string]Entry
	// order has every entry as it came; one that was superseded stays in it.
	order   []Entry
	changed chan struct{} // closed when order grows
}

// New returns a list of entries.
func New(entries ...Entry) *List {
	l := &List{targets: make(map[string]Entry, len(entries)), changed: make(chan struct{})}
	l.Add(entries...)
	return l
}

// Add adds entries, and returns how many of them were new. Of two for one target the
// later counts.
func (l *List) Add(entries ...Entry) (added int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		old, ok := l.targets[e.Target]
		if ok && (e.Time.Before(old.Time) || e.Time.Equal(old.Time) && e.Reason == old.Reason) {
			continue
		}
		l.targets[e.Target] = e
		l.order = append(l.order, e)
		added++
	}
	if added > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return added
}

// After returns the entries that came after the first n, and a channel that is closed
// when there are more.
func (l *List) After(n int) (entries []Entry, more <-chan struct{}) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.order[min(n, len(l.order)):]), l.changed
}

// All returns the entries that count, by target.
func (l *List) All() []Entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]Entry, 0, len(l.targets))
	for _, e := range l.targets {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int {
		if a.Target < b.Target {
			return -1
		}
		return 1
	})
	return out
}

// Refusal says why a certificate is refused, for the handshake; empty when it is not.
func (l *List) Refusal(id identity.ID, cert *x509.Certificate) string {
	e, ok := l.Of(id, cert.SerialNumber.Text(16), cert.NotBefore)
	if !ok {
		return ""
	}
	text := fmt.Sprintf("the certificate of %s was revoked on %s", id, e.Time.UTC().Format(time.RFC3339))
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text + ": a host that is to come back enrols again, with a new token"
}

// Since is when an identity was last revoked, in whole seconds as certificates count;
// zero if never. A certificate that begins then or later is not meant.
func (l *List) Since(id identity.ID) time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var last time.Time
	for _, target := range Targets(id) {
		if t := l.targets[target].Time.Truncate(time.Second); t.After(last) {
			last = t
		}
	}
	return last
}

// Of returns the revocation of a certificate.
func (l *List) Of(id identity.ID, serial string, notBefore time.Time) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.targets) == 0 {
		return Entry{}, false
	}
	if e, ok := l.targets[SerialTarget(serial)]; ok {
		return e, true
	}
	for _, target := range Targets(id) {
		if e, ok := l.targets[target]; ok && notBefore.Before(e.Time.Truncate(time.Second)) {
			return e, true
		}
	}
	return Entry{}, false
}

// SerialTarget is the target that means one certificate.
func SerialTarget(serial string) string { return "serial:" + serial }

// Targets are the targets that mean an identity.
func Targets(id identity.ID) []string {
	id = id.Normal()
	targets := []string{string(id.Role) + "/" + id.Name}
	if id.AgentID() != "" {
		targets = append(targets, string(id.Role)+"/"+id.Host()+"/*")
	}
	return targets
}
