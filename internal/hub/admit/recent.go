package admit

// ClaimEvent asks whether a single event is new, and marks it as on its way if
// it is. It never says Stale.
func (l *Ledger) ClaimEvent(publisher string, id [IDSize]byte) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := eventKey{publisher, id}
	if _, ok := l.events[key]; ok {
		return Duplicate
	}
	l.remember(key, false)
	return New
}

// EventStored marks a claimed event as durable.
func (l *Ledger) EventStored(publisher string, id [IDSize]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := eventKey{publisher, id}
	if _, ok := l.events[key]; ok { // it may have been forgotten meanwhile
		l.events[key] = true
	}
}

// EventFailed takes a claim back.
func (l *Ledger) EventFailed(publisher string, id [IDSize]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Its place in the ring stays and is overwritten in turn.
	delete(l.events, eventKey{publisher, id})
}

// HasEvent reports whether an event is stored.
func (l *Ledger) HasEvent(publisher string, id [IDSize]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[eventKey{publisher, id}]
}

// remember adds a key and forgets the oldest one when there are too many. The
// caller holds mu.
func (l *Ledger) remember(key eventKey, stored bool) {
	if _, ok := l.events[key]; ok {
		l.events[key] = stored
		return
	}
	l.events[key] = stored
	if len(l.order) < l.options.Events {
		l.order = append(l.order, key)
		return
	}
	// A key that failed and came again stands in the ring twice; forgetting it
	// at its first place is early, and harmless for one so old.
	delete(l.events, l.order[l.next])
	l.order[l.next] = key
	l.next = (l.next + 1) % len(l.order)
}
