// Package recent is a map of bounded size: a further key takes the place of one that was
// used longest ago.
//
// Where keys come from outside, whoever invents them could push out all that are in use.
// A map made by Proving tells these apart: a key that is used again some time after it
// came is proven, and makes room only where there is none that is not. At most three
// quarters are proven, so that what is new has room to prove itself (a segmented LRU:
// Karedla, Love and Wherry, Caching Strategies to Improve Disk System Performance, 1994).
// Those who are proven and in use stay, however many others prove themselves later.
//
// A map made by Sharing knows groups of keys beside that. Where there is no room, the
// group that has most makes it, so that one group pushes out only its own.
package recent

// Map is not safe for use by several goroutines. The zero value is not usable.
type Map[K comparable, V any] struct {
	// Evicted counts entries that made room.
	Evicted uint64
	// OnEvict is called with each of them before it goes; nil is not called.
	OnEvict func(K, *V)

	places map[K]*place[K, V]
	new    order[K, V]
	proven order[K, V]
	max    int
	after  int64
	// groupOf numbers the group of a key; nil has one group of all. groups are those that
	// have any.
	groupOf func(K) uint64
	groups  map[uint64]*group
}

// group counts entries of a group: those that are proven, and those that are not.
type group struct {
	number      uint64
	new, proven int
}

type place[K comparable, V any] struct {
	newer, older *place[K, V]
	key          K
	value        V
	since, used  int64 // nanoseconds
	proven       bool
	group        *group // nil where there are none
}

// order is places by when they were used.
type order[K comparable, V any] struct {
	newest, oldest *place[K, V]
	n              int
}

// New returns a Map of at most limit entries, of which none is ever proven.
func New[K comparable, V any](limit int) *Map[K, V] {
	return &Map[K, V]{places: map[K]*place[K, V]{}, max: limit}
}

// Proving returns a Map in which a key is proven that was used again so many nanoseconds
// after it came.
func Proving[K comparable, V any](limit int, after int64) *Map[K, V] {
	m := New[K, V](limit)
	m.after = max(1, after)
	return m
}

// Sharing is Proving for keys of groups, which groupOf numbers.
func Sharing[K comparable, V any](limit int, after int64, groupOf func(K) uint64) *Map[K, V] {
	m := Proving[K, V](limit, after)
	m.groupOf, m.groups = groupOf, map[uint64]*group{}
	return m
}

// Len is how many entries there are.
func (m *Map[K, V]) Len() int { return len(m.places) }

// Use returns the value of a key, which is now the newest. fresh says that it was not
// there: the value is zero. It is for a Map of New.
func (m *Map[K, V]) Use(k K) (v *V, fresh bool) { return m.UseAt(k, 0) }

// UseAt is Use at a time, in nanoseconds of any clock.
func (m *Map[K, V]) UseAt(k K, now int64) (v *V, fresh bool) {
	if v := m.Find(k, now); v != nil {
		return v, false
	}
	var p *place[K, V]
	if len(m.places) >= m.max {
		p = m.evict(m.least())
		*p = place[K, V]{}
	} else {
		p = &place[K, V]{}
	}
	p.key, p.since, p.used = k, now, now
	m.places[k] = p
	m.join(p)
	return &p.value, true
}

// Find returns the value of a key, which is now the newest, or nil.
func (m *Map[K, V]) Find(k K, now int64) *V {
	p := m.places[k]
	if p == nil {
		return nil
	}
	m.of(p).unlink(p)
	p.since = min(p.since, now) // The clock was set back.
	p.used = now
	if !p.proven && m.after > 0 && now-p.since >= m.after && m.mayProve(p, now) {
		m.prove(p, true)
	}
	m.of(p).push(p)
	return &p.value
}

// mayProve reports whether there is room for one more that is proven, and makes it where
// that can be.
func (m *Map[K, V]) mayProve(p *place[K, V], now int64) bool {
	if m.proven.n < m.max/4*3 {
		return true
	}
	old := m.yields(p, now)
	if old == nil {
		return false // It may prove itself again with its next use.
	}
	m.proven.unlink(old)
	m.prove(old, false)
	m.new.push(old)
	return true
}

// yields is who of the proven makes room for p, nil if nobody does: who was not used for
// long, or is of the group that has most, if that has more than p's would.
func (m *Map[K, V]) yields(p *place[K, V], now int64) *place[K, V] {
	old := m.proven.oldest
	if old == nil || m.unused(old, now) {
		return old
	}
	if p.group == nil {
		return nil
	}
	for x := old; x != nil; x = x.newer {
		if x.group.proven > old.group.proven {
			old = x
		}
	}
	if old.group.proven <= p.group.proven+1 {
		return nil
	}
	return old
}

// unused reports whether one that is proven was not used for ten times as long as proof
// takes.
func (m *Map[K, V]) unused(p *place[K, V], now int64) bool { return now-p.used > 10*m.after }

// prove notes whether an entry is proven. It is in no list.
func (m *Map[K, V]) prove(p *place[K, V], proven bool) {
	p.proven = proven
	if p.group == nil {
		return
	}
	by := 1
	if !proven {
		by = -1
	}
	p.group.proven += by
	p.group.new -= by
}

// join puts a new entry into its list and its group.
func (m *Map[K, V]) join(p *place[K, V]) {
	m.new.push(p)
	if m.groupOf == nil {
		return
	}
	number := m.groupOf(p.key)
	if p.group = m.groups[number]; p.group == nil {
		p.group = &group{number: number}
		m.groups[number] = p.group
	}
	p.group.new++
}

// leave takes an entry out of its list, its group and the map.
func (m *Map[K, V]) leave(p *place[K, V]) {
	m.of(p).unlink(p)
	delete(m.places, p.key)
	g := p.group
	if g == nil {
		return
	}
	if p.proven {
		g.proven--
	} else {
		g.new--
	}
	if g.new+g.proven == 0 {
		delete(m.groups, g.number)
	}
}

// Look returns the value of a key or nil, and changes nothing.
func (m *Map[K, V]) Look(k K) *V {
	if p := m.places[k]; p != nil {
		return &p.value
	}
	return nil
}

// Proven reports whether a key is there and proven.
func (m *Map[K, V]) Proven(k K) bool {
	p := m.places[k]
	return p != nil && p.proven
}

// Drop removes a key, and returns what it had.
func (m *Map[K, V]) Drop(k K) (v V, had bool) {
	p := m.places[k]
	if p == nil {
		return v, false
	}
	m.leave(p)
	return p.value, true
}

// MakeRoom evicts the entry that was used longest ago of those that are not proven. One
// that is goes only where it was not used for ten times as long as proof takes. It
// reports whether one went.
func (m *Map[K, V]) MakeRoom(now int64) bool {
	p := m.new.oldest
	if old := m.proven.oldest; p == nil && old != nil && m.unused(old, now) {
		p = old
	}
	if p == nil {
		return false
	}
	m.evict(p)
	return true
}

// Each visits all, those that are not proven first, each kind from the oldest on, and
// removes those for which keep is false.
func (m *Map[K, V]) Each(keep func(k K, v *V) bool) {
	for _, list := range [...]*order[K, V]{&m.new, &m.proven} {
		for p := list.oldest; p != nil; {
			next := p.newer
			if !keep(p.key, &p.value) {
				m.leave(p)
			}
			p = next
		}
	}
}

func (m *Map[K, V]) of(p *place[K, V]) *order[K, V] {
	if p.proven {
		return &m.proven
	}
	return &m.new
}

// least is what is to go first: of those that are not proven, and of the group that has
// most of them, what was used longest ago.
func (m *Map[K, V]) least() *place[K, V] {
	old := m.new.oldest
	if old == nil {
		return m.proven.oldest
	}
	if m.groupOf == nil {
		return old
	}
	for p := old; p != nil; p = p.newer {
		if p.group.new > old.group.new {
			old = p
		}
	}
	return old
}

func (m *Map[K, V]) evict(p *place[K, V]) *place[K, V] {
	m.Evicted++
	if m.OnEvict != nil {
		m.OnEvict(p.key, &p.value)
	}
	m.leave(p)
	return p
}

func (o *order[K, V]) push(p *place[K, V]) {
	p.older = o.newest
	if o.newest != nil {
		o.newest.newer = p
	} else {
		o.oldest = p
	}
	o.newest = p
	o.n++
}

func (o *order[K, V]) unlink(p *place[K, V]) {
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		o.newest = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		o.oldest = p.newer
	}
	p.newer, p.older = nil, nil
	o.n--
}
