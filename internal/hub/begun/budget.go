package begun

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

// Limits are the bounds, in bytes where nothing else is said. All are required.
type Limits struct {
	Message int64 // of one message; gRPC refuses those that are longer
	Window  int64 // of a stream, as the server's settings give it

	Connection, Identity, Hub int64 // of messages that are begun, as long as they say they will be

	// Unread is what was sent and not read, with what its frames cost.
	ConnectionUnread, IdentityUnread, HubUnread int64

	Patience time.Duration // how long a message waits for room before somebody has to go
	Grace    time.Duration // what a message may take, however short
	Rate     int64         // bytes a second that a message has to make beyond that

	// TinyReads is how often a second the connections of an identity may bring less
	// than tinyRead bytes: each costs a TLS record and a call of the system.
	TinyReads int64
	// HeaderRate is how many bytes of headers a second the connections of an identity
	// may bring: all of them are decoded before anything can be refused.
	HeaderRate int64
}

// tinyRead is what a read of an honest client seldom brings less than.
const tinyRead = 64

// Budget is what all connections of a hub share. Lock order: Budget.mu, then
// Follower.mu; a gate's own lock comes last.
type Budget struct {
	limits Limits
	now    func() time.Time
	gate   *admit.Gate
	unread level // of all

	mu       sync.Mutex // guards accounts and what they hold
	accounts map[string]*account
}

// account is what one identity has begun on all its connections.
type account struct {
	name      string
	gate      *admit.Gate
	followers map[*Follower]struct{}
	unread    level
	paid      atomic.Int64 // until when tiny reads are paid for, in Unix nanoseconds
}

// level is how many bytes are unread, and who waits for them to be fewer.
type level struct {
	bytes atomic.Int64

	waitMu sync.Mutex    // guards lower; the last lock of all
	lower  chan struct{} // closed when bytes are within their bound again; nil while nobody waits
}

// NewBudget returns a budget of nothing begun.
func NewBudget(limits Limits, now func() time.Time) *Budget {
	return &Budget{
		limits: limits, now: now, gate: admit.NewGate(limits.Hub), accounts: map[string]*account{},
	}
}

// Follow returns a follower of a new connection of an identity. cut closes the
// connection; it is called once, when something of it is beyond its bounds, on
// whatever goroutine finds that. The follower's Close must be called.
func (b *Budget) Follow(identity string, cut func(why error)) *Follower {
	f := &Follower{budget: b, cut: cut, streams: map[uint32]*stream{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[identity]
	if a == nil {
		a = &account{name: identity, gate: admit.NewGate(b.limits.Identity), followers: map[*Follower]struct{}{}}
		b.accounts[identity] = a
	}
	a.followers[f] = struct{}{}
	f.account = a
	return f
}

// askForRoom waits for the room of the messages that began and are not finished.
func (f *Follower) askForRoom() error {
	for {
		id, s, size, err := f.nextFresh()
		if s == nil || err != nil {
			return err
		}
		if err := f.budget.enter(f, size); err != nil {
			return err
		}
		f.mu.Lock()
		// The stream may have ended meanwhile, and given what it had.
		if f.closed || f.streams[id] != s || s.have < prefixBytes {
			f.budget.leave(f.account, size)
		} else {
			s.room = size
			f.room += size
			s.since = f.budget.now()
			f.reckon(s)
			f.tellUnread()
		}
		f.mu.Unlock()
	}
}

// nextFresh takes the next stream whose message needs room, nil when there is none.
func (f *Follower) nextFresh() (id uint32, s *stream, size int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.fresh[:0]
	for i, id := range f.fresh {
		s := f.streams[id]
		if s == nil || s.have == 0 || s.asked {
			continue
		}
		if s.since.IsZero() {
			s.since = f.budget.now()
		}
		if s.have < prefixBytes {
			kept = append(kept, id) // its length is still to come
			continue
		}
		size := int64(s.left) + s.got - prefixBytes
		if f.room+size > f.budget.limits.Connection {
			return 0, nil, 0, ErrBegun
		}
		s.asked = true
		f.fresh = append(kept, f.fresh[i+1:]...)
		return id, s, size, nil
	}
	f.fresh = kept
	return 0, nil, 0, nil
}

// enter waits for room: in the share of its identity, then in the hub's. When there
// is none in time, whoever holds the most has to go; when that is nobody who holds
// much, all wait because the hub is slow, and in the end the newcomer goes.
func (b *Budget) enter(f *Follower, n int64) error {
	if err := b.enterGate(f, f.account.gate, n, func() *Follower { return b.largest(f.account, room) }); err != nil {
		return err
	}
	if err := b.enterGate(f, b.gate, n, b.largestOfAll); err != nil {
		f.account.gate.Leave(n)
		return err
	}
	return nil
}

// tries is how often room is waited for, and somebody made to go, for one message.
const tries = 4

// much is the part of an identity's share from which somebody holds much.
const much = 8

func (b *Budget) enterGate(f *Follower, g *admit.Gate, n int64, holder func() *Follower) error {
	for range tries {
		err := g.Enter(f.ctx, n, b.limits.Patience)
		if err == nil {
			return nil
		}
		if !errors.Is(err, admit.ErrGateTimeout) {
			return f.whyEnded()
		}
		switch h := holder(); h {
		case nil:
		case f:
			return ErrBegun
		default:
			h.end(ErrBegun)
		}
	}
	return ErrNoRoom
}

func (b *Budget) leave(a *account, n int64) {
	b.gate.Leave(n)
	a.gate.Leave(n)
}

// measure is what a follower holds of something, and what an identity may.
type measure func(*Follower, *Limits) (held, share int64)

func room(f *Follower, l *Limits) (held, share int64)   { return f.room, l.Identity }
func unread(f *Follower, l *Limits) (held, share int64) { return f.unread, l.IdentityUnread }

// largest returns the connection of an identity that holds the most of something,
// nil when none holds much.
func (b *Budget) largest(a *account, of measure) *Follower {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, bytes, share := b.largestLocked(a, of)
	if bytes < share/much {
		return nil
	}
	return f
}

func (b *Budget) largestLocked(a *account, of measure) (most *Follower, bytes, share int64) {
	for f := range a.followers {
		f.mu.Lock()
		held, of := of(f, &b.limits)
		f.mu.Unlock()
		if share = of; held > bytes {
			most, bytes = f, held
		}
	}
	return most, bytes, share
}

// largestOfAll returns that of the identity which has begun the most, nil when even
// that is not much.
func (b *Budget) largestOfAll() *Follower {
	b.mu.Lock()
	defer b.mu.Unlock()
	var most *account
	var bytes int64
	for _, a := range b.accounts {
		if used, _ := a.gate.Used(); used > bytes {
			most, bytes = a, used
		}
	}
	if bytes < b.limits.Identity/much {
		return nil
	}
	f, _, _ := b.largestLocked(most, room)
	return f
}

// waitUnread waits until what an identity leaves unread, and what all do, is within its
// bound: its connections are read no further meanwhile. When that takes too long, the one
// with the most goes, and in the end this one.
func (b *Budget) waitUnread(f *Follower) error {
	for range tries {
		timer := time.NewTimer(b.limits.Patience)
		lower, err := b.lowerBy(f, timer.C)
		timer.Stop()
		if lower || err != nil {
			return err
		}
		h := b.largest(f.account, unread)
		if f.account.unread.bytes.Load() <= b.limits.IdentityUnread {
			h = b.leastRead()
		}
		switch h {
		case nil:
		case f:
			return ErrUnread
		default:
			h.end(ErrUnread)
		}
	}
	return ErrUnread
}

// leastRead returns the connection with the most unread of the identity with the most,
// nil when even that is not much.
func (b *Budget) leastRead() *Follower {
	b.mu.Lock()
	defer b.mu.Unlock()
	var most *account
	bytes := b.limits.IdentityUnread/much - 1
	for _, a := range b.accounts {
		if held := a.unread.bytes.Load(); held > bytes {
			most, bytes = a, held
		}
	}
	if most == nil {
		return nil
	}
	f, _, _ := b.largestLocked(most, unread)
	return f
}

// lowerBy waits as well, until a time.
func (b *Budget) lowerBy(f *Follower, late <-chan time.Time) (bool, error) {
	for {
		lower := f.account.unread.whenLower(b.limits.IdentityUnread)
		if lower == nil {
			lower = b.unread.whenLower(b.limits.HubUnread)
		}
		if lower == nil {
			return true, nil
		}
		select {
		case <-lower:
		case <-f.ctx.Done():
			return false, f.whyEnded()
		case <-late:
			return false, nil
		}
	}
}

func (f *Follower) whyEnded() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended()
}

// whenLower returns a channel to wait for, nil when there are no more bytes than limit.
func (l *level) whenLower(limit int64) <-chan struct{} {
	l.waitMu.Lock()
	defer l.waitMu.Unlock()
	if l.bytes.Load() <= limit {
		return nil
	}
	if l.lower == nil {
		l.lower = make(chan struct{})
	}
	return l.lower
}

// count adds bytes and wakes who waits; it reports whether they grew beyond limit.
func (l *level) count(delta, limit int64) (over bool) {
	now := l.bytes.Add(delta)
	if now <= limit && now-delta > limit {
		l.waitMu.Lock()
		if l.lower != nil {
			close(l.lower)
			l.lower = nil
		}
		l.waitMu.Unlock()
	}
	return now > limit && delta > 0
}

// mostPace is longer than pace lets anybody wait: each connection owes one read, and
// there are thousands of connections at most.
const mostPace = 10 * time.Second

// pace makes the connections of an identity wait that bring little at a time or much
// of headers, beyond one second's worth of it at once (the generic cell rate
// algorithm; both are paid for by one clock).
func (b *Budget) pace(f *Follower, tiny bool, headers int64) error {
	cost := headers * int64(time.Second) / max(1, b.limits.HeaderRate)
	if tiny {
		cost += int64(time.Second) / b.limits.TinyReads
	}
	if cost == 0 {
		return nil
	}
	now := b.now().UnixNano()
	paid := f.account.paid.Add(cost)
	if paid < now {
		f.account.paid.CompareAndSwap(paid, now)
		return nil
	}
	wait := time.Duration(paid-now) - time.Second
	if wait > mostPace { // the clock was set back
		f.account.paid.CompareAndSwap(paid, now)
		return nil
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.ctx.Done():
		return f.whyEnded()
	}
}

// drop takes a follower off its account.
func (b *Budget) drop(f *Follower) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := f.account
	delete(a.followers, f)
	if len(a.followers) == 0 && b.accounts[a.name] == a {
		delete(b.accounts, a.name)
	}
}

// Sweep ends the connections whose messages take longer than they may.
func (b *Budget) Sweep() {
	now := b.now()
	b.mu.Lock()
	var late []*Follower
	for _, a := range b.accounts {
		for f := range a.followers {
			if f.overdue(now) {
				late = append(late, f)
			}
		}
	}
	b.mu.Unlock()
	for _, f := range late {
		f.end(ErrStalled)
	}
}

// Used is how much of each bound is in use: of the hub's, and of that identity and
// connection which use most of theirs.
type Used struct {
	Connection, Identity, Hub        int64
	ConnectionUnread, IdentityUnread int64
	HubUnread                        int64
}

// Used returns what is in use now.
func (b *Budget) Used() Used {
	b.mu.Lock()
	defer b.mu.Unlock()
	var u Used
	u.Hub, _ = b.gate.Used()
	u.HubUnread = b.unread.bytes.Load()
	for _, a := range b.accounts {
		used, _ := a.gate.Used()
		u.Identity = max(u.Identity, used)
		u.IdentityUnread = max(u.IdentityUnread, a.unread.bytes.Load())
		for f := range a.followers {
			f.mu.Lock()
			u.Connection = max(u.Connection, f.room)
			u.ConnectionUnread = max(u.ConnectionUnread, f.unread)
			f.mu.Unlock()
		}
	}
	return u
}
