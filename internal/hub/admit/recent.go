package admit

// ClaimEvent asks whether a single event is new, and marks it as on its way if
// it is. It never says Stale.
func (l *Ledger) ClaimEvent(publisher string, id [IDSize]byte) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := eventKey{publisher, id}
	if _, ok := l.events.get(key); ok {
		return Duplicate
	}
	l.remember(key, false)
	return New
}

// EventStored marks a claimed event as durable.
func (l *Ledger) EventStored(publisher string, id [IDSize]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stored, ok := l.events.get(eventKey{publisher, id}); ok { // it may have been forgotten meanwhile
		*stored = true
	}
}

// EventFailed takes a claim back.
func (l *Ledger) EventFailed(publisher string, id [IDSize]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events.remove(eventKey{publisher, id})
}

// HasEvent reports whether an event is stored.
func (l *Ledger) HasEvent(publisher string, id [IDSize]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	stored, ok := l.events.get(eventKey{publisher, id})
	return ok && *stored
}

// remember adds a key, unless it is there. The caller holds mu.
func (l *Ledger) remember(key eventKey, stored bool) {
	if known, ok := l.events.get(key); ok {
		*known = stored
		return
	}
	l.events.put(key.publisher, key, &stored)
}
