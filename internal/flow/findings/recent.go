package findings

// recent is a map of bounded size: a further key takes the place of the one that was
// used longest ago.
type recent[K comparable, V any] struct {
	places         map[K]*place[K, V]
	newest, oldest *place[K, V]
	max            int
	evicted        uint64
}

type place[K comparable, V any] struct {
	newer, older *place[K, V]
	key          K
	value        V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{places: map[K]*place[K, V]{}, max: limit}
}

// use returns the value of a key, which is now the newest. fresh says that it was not
// there: the value is zero.
func (r *recent[K, V]) use(k K) (v *V, fresh bool) {
	p := r.places[k]
	if fresh = p == nil; fresh {
		if len(r.places) >= r.max {
			r.evicted++
			p = r.oldest
			r.unlink(p)
			delete(r.places, p.key)
			*p = place[K, V]{key: k}
		} else {
			p = &place[K, V]{key: k}
		}
		r.places[k] = p
	} else {
		r.unlink(p)
	}
	p.older = r.newest
	if r.newest != nil {
		r.newest.newer = p
	} else {
		r.oldest = p
	}
	r.newest = p
	return &p.value, fresh
}

// drop removes a key, if it is there.
func (r *recent[K, V]) drop(k K) {
	if p := r.places[k]; p != nil {
		r.unlink(p)
		delete(r.places, k)
	}
}

// look returns the value of a key or nil, and changes nothing.
func (r *recent[K, V]) look(k K) *V {
	if p := r.places[k]; p != nil {
		return &p.value
	}
	return nil
}

// each visits all from the oldest on, and removes those for which keep is false.
func (r *recent[K, V]) each(keep func(k K, v *V) bool) {
	for p := r.oldest; p != nil; {
		next := p.newer
		if !keep(p.key, &p.value) {
			r.unlink(p)
			delete(r.places, p.key)
		}
		p = next
	}
}

func (r *recent[K, V]) unlink(p *place[K, V]) {
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		r.newest = p.older
	}
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		r.oldest = p.newer
	}
	p.newer, p.older = nil, nil
}
