package spool

import "time"

// Bounds on how stale the view of the disk's room may be.
const (
	lookInterval = time.Second
	lookBytes    = 1 << 20
	// smallBytes is what the spool may take of a disk on which less than MinFree is
	// free, so that an agent works there too.
	smallBytes = 4 << 20
)

// disk is what the spool knows of the room beside it.
type disk struct {
	looked time.Time
	free   int64 // then
	added  int64 // by the spool since
	limit  int64 // how large the spool may be while there is too little room; 0 while there is not
}

// limit is how large the spool may be, total being what it is. While fewer than MinFree
// bytes are free it stays as large as it was when that began. The caller holds mu.
func (s *Spool) limit(total, n int64) int64 {
	d := &s.disk
	if s.o.MinFree == 0 {
		return s.o.MaxBytes
	}
	if now := time.Now(); now.Sub(d.looked) >= lookInterval || d.added >= lookBytes {
		free, err := s.o.free(s.o.Dir)
		if err != nil {
			return s.o.MaxBytes // the disk itself says when it is full
		}
		d.looked, d.free, d.added = now, int64(min(free, 1<<62)), 0
	}
	spare := d.free - d.added - int64(min(s.o.MinFree, 1<<62))
	d.added += n
	switch {
	case spare >= n:
		d.limit = 0
	case d.limit == 0:
		d.limit = max(total, smallBytes)
	}
	s.stats.LowDisk = d.limit > 0
	if d.limit > 0 {
		return min(s.o.MaxBytes, d.limit)
	}
	return s.o.MaxBytes
}
