package spool

import (
	"errors"
	"fmt"
)

// FirstTry reports whether a batch cannot have reached the hub before: its number
// was given out by this process, or under a producer id that is new, and it was
// handed out once since. A hub that knows it all the same knows the number from
// another life of this spool, such as one before it was put back from a copy.
func (s *Spool) FirstTry(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(seq)
	return ok && s.queue[i].ours && s.queue[i].tries == 1
}

// Renew gives what waits another producer id, because the hub cannot tell from the
// numbers of the old one what it has. Events that it had stored already arrive
// twice then; none is taken for a repeat of another. It is called between
// connections. On an error the new id holds for as long as the process runs.
func (s *Spool) Renew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.producer = newProducer()
	errs := []error{s.saveProducer(false)}
	for _, seg := range s.segments {
		seg.producer = s.producer
		_, err := seg.f.WriteAt(seg.encode(), 0)
		if err == nil && s.o.Fsync {
			err = seg.f.Sync()
		}
		errs = append(errs, err)
	}
	for i := range s.queue {
		s.queue[i].ours, s.queue[i].tries = true, 0
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("renew producer: %w", err)
	}
	return nil
}
