package limit

import "sync"

// Budget shares a number of bytes among keys. Nobody gives way: what does not fit is
// refused, and whoever can wait asks again.
type Budget struct {
	all, one int64

	mu    sync.Mutex // guards what follows
	taken int64
	of    map[string]int64 // of each key that holds something
}

// NewBudget returns a budget of all bytes, of which one key may hold one.
func NewBudget(all, one int64) *Budget {
	return &Budget{all: all, one: one, of: map[string]int64{}}
}

// Share is how many bytes one key may hold.
func (b *Budget) Share() int64 { return b.one }

// Size is how many bytes all keys may hold together.
func (b *Budget) Size() int64 { return b.all }

// Take takes n bytes for a key. ErrShare: the key would hold more than one may. ErrFull:
// all together would hold too much. The caller gives them back by Release.
func (b *Budget) Take(key string, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.of[key]+n > b.one:
		return ErrShare
	case b.taken+n > b.all:
		return ErrFull
	}
	b.taken += n
	b.of[key] += n
	return nil
}

// Release gives back n bytes that a key has taken.
func (b *Budget) Release(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken -= n
	if b.of[key] -= n; b.of[key] <= 0 {
		delete(b.of, key)
	}
}

// Taken is how many bytes are held now.
func (b *Budget) Taken() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}
