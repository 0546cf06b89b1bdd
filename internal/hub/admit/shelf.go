package admit

import "container/list"

// shelf keeps things by key for owners, and forgets the oldest where there are too
// many: of an owner with as many as one may have, its own; when the shelf is full, of
// the owner with most. So whoever invents keys forgets its own before those of others.
type shelf[K comparable, V any] struct {
	most, each int                 // of all, and of one owner
	busy       func(V) bool        // may not be forgotten now; nil for never
	forgot     func(string, V)     // hears of what is forgotten; nil for nobody
	items      map[K]*list.Element // of *item[K, V], in age
	age        *list.List          // the newest in front
	own        map[string]*list.List
}

type item[K comparable, V any] struct {
	key   K
	owner string
	value V
	own   *list.Element // its place among those of its owner
}

func newShelf[K comparable, V any](most, each int) *shelf[K, V] {
	return &shelf[K, V]{most: most, each: each, items: map[K]*list.Element{}, age: list.New(), own: map[string]*list.List{}}
}

func (s *shelf[K, V]) len() int { return len(s.items) }

func (s *shelf[K, V]) get(key K) (value V, ok bool) {
	if e, ok := s.items[key]; ok {
		return s.at(e).value, true
	}
	return value, false
}

// renew makes a thing the newest, if it is there.
func (s *shelf[K, V]) renew(key K) {
	if e, ok := s.items[key]; ok {
		it := s.at(e)
		s.age.MoveToFront(e)
		s.own[it.owner].MoveToFront(it.own)
	}
}

// put adds a thing that is not there, as the newest.
func (s *shelf[K, V]) put(owner string, key K, value V) {
	s.makeRoom(owner)
	if s.own[owner] == nil {
		s.own[owner] = list.New()
	}
	it := &item[K, V]{key: key, owner: owner, value: value}
	e := s.age.PushFront(it)
	it.own = s.own[owner].PushFront(e)
	s.items[key] = e
}

// remove takes a thing out, if it is there.
func (s *shelf[K, V]) remove(key K) {
	e, ok := s.items[key]
	if !ok {
		return
	}
	it := s.at(e)
	delete(s.items, key)
	s.age.Remove(e)
	own := s.own[it.owner]
	own.Remove(it.own)
	if own.Len() == 0 {
		delete(s.own, it.owner)
	}
}

// oldestFirst calls f for everything.
func (s *shelf[K, V]) oldestFirst(f func(key K, value V)) {
	for e := s.age.Back(); e != nil; e = e.Prev() {
		it := s.at(e)
		f(it.key, it.value)
	}
}

// makeRoom forgets until an owner may have one more, or all that is left is busy.
func (s *shelf[K, V]) makeRoom(owner string) {
	mine := s.own[owner]
	switch {
	case mine != nil && mine.Len() >= s.each:
		s.forgetOldest(mine)
	case len(s.items) < s.most:
	case mine != nil && mine.Len() >= s.most/len(s.own):
		s.forgetOldest(mine)
	default:
		var largest *list.List
		for _, own := range s.own {
			if largest == nil || own.Len() > largest.Len() {
				largest = own
			}
		}
		s.forgetOldest(largest)
	}
}

func (s *shelf[K, V]) forgetOldest(own *list.List) {
	for place := own.Back(); place != nil; place = place.Prev() {
		it := s.at(place.Value.(*list.Element)) //nolint:forcetypeassert // own holds nothing else
		if s.busy != nil && s.busy(it.value) {
			continue
		}
		s.remove(it.key)
		if s.forgot != nil {
			s.forgot(it.owner, it.value)
		}
		return
	}
}

func (*shelf[K, V]) at(e *list.Element) *item[K, V] { return e.Value.(*item[K, V]) } //nolint:forcetypeassert // age holds nothing else
