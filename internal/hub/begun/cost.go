package begun

import "time"

// frameCost is what gRPC keeps of each frame with data, beside its bytes: the
// frame's buffer and its place in the stream's queue.
const frameCost = 96

// bufferBytes is the buffer that gRPC takes for n bytes of a frame: of exactly that
// size when small, else of the sizes of its pool.
func bufferBytes(n int64) int64 {
	switch {
	case n <= 1<<10:
		return n
	case n <= 4<<10:
		return 4 << 10
	default:
		return 16 << 10
	}
}

// charge counts a frame of n bytes against its stream's window and costs. What was
// sent beyond what the window was widened by is unread: at most a quarter of a
// window more than the truth, for gRPC gathers what was read before it widens.
func (f *Follower) charge(s *stream, n int64) {
	s.credit -= n
	s.overhead += bufferBytes(n) - n + frameCost
	f.reckon(s)
}

// widen counts what was added to a stream's window, which means that at least that
// much has been read, or is about to be.
func (f *Follower) widen(s *stream, n int64) {
	before := f.budget.limits.Window - s.credit
	blocked := s.credit <= 0
	s.credit += n
	after := f.budget.limits.Window - s.credit
	switch {
	case after <= 0 || before <= 0:
		s.overhead = 0
	default:
		s.overhead = s.overhead * after / before
	}
	if blocked && s.have > 0 {
		s.since = f.budget.now() // it could not go on, and now it can
	}
	f.reckon(s)
}

// reckon brings what is unread up to date. A message that has begun and has room
// counts there.
func (f *Follower) reckon(s *stream) {
	sent := f.budget.limits.Window - s.credit
	if s.room > 0 {
		sent -= s.got
	}
	unread := max(0, sent) + s.overhead
	f.unread += unread - s.unread
	s.unread = unread
}

// overdue reports whether a message takes longer than it may. One that cannot go on
// because its stream is not read takes no time.
func (f *Follower) overdue(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun == 0 || f.closed {
		return false
	}
	l := &f.budget.limits
	for _, s := range f.streams {
		if s.have == 0 || s.credit <= 0 || s.since.IsZero() {
			continue
		}
		if now.Sub(s.since) > l.Grace+time.Duration(s.got)*time.Second/time.Duration(l.Rate) {
			return true
		}
	}
	return false
}
