package vlogs

import (
	"io"
	"sync"
	"time"
)

// chunk is how much memory is taken at once, and leastRead how little of it is worth
// reading into.
const (
	chunk     = 64 << 10
	leastRead = 4 << 10
)

// readAhead takes an answer off the engine as fast as it comes, into a bounded buffer.
// The engine has as many places for searches as there are processors, and one whose
// reader waits keeps its place, so that a slow client would stop every other query. When
// the buffer has been full for patience, the answer is given up.
type readAhead struct {
	size     int
	patience time.Duration
	mu       sync.Mutex // guards what follows
	waiting  [][]byte
	bytes    int
	err      error // after what waits
	gone     bool  // nobody reads
	more     chan struct{}
	room     chan struct{}
	current  []byte // Read's alone
}

func newReadAhead(size int, patience time.Duration) *readAhead {
	return &readAhead{size: size, patience: patience, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// fill reads from r until it ends. slow is called when the reader is given up.
func (a *readAhead) fill(r io.Reader, slow func()) {
	var b []byte
	for {
		if len(b) < leastRead {
			b = make([]byte, chunk)
		}
		n, err := r.Read(b)
		if !a.put(b[:n:n], err) {
			slow()
			return
		}
		if err != nil {
			return
		}
		b = b[n:]
	}
}

// put adds b and err, once there is room, and reports false when there is none.
func (a *readAhead) put(b []byte, err error) bool {
	var timer *time.Timer
	for {
		a.mu.Lock()
		if a.gone {
			a.mu.Unlock()
			return err != nil
		}
		if a.bytes+len(b) <= a.size || a.bytes == 0 {
			if len(b) > 0 {
				a.waiting = append(a.waiting, b)
				a.bytes += len(b)
			}
			a.err = err
			a.mu.Unlock()
			signal(a.more)
			return true
		}
		a.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(a.patience)
			defer timer.Stop()
		}
		select {
		case <-a.room:
		case <-timer.C:
			a.mu.Lock()
			a.err, a.waiting, a.bytes = ErrSlow, nil, 0
			a.mu.Unlock()
			signal(a.more)
			return false
		}
	}
}

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.current) == 0 {
		a.mu.Lock()
		if len(a.waiting) > 0 {
			a.current, a.waiting = a.waiting[0], a.waiting[1:]
			a.bytes -= len(a.current)
			a.mu.Unlock()
			signal(a.room)
			break
		}
		err := a.err
		a.mu.Unlock()
		if err != nil {
			return 0, err
		}
		<-a.more
	}
	n := copy(p, a.current)
	a.current = a.current[n:]
	return n, nil
}

// abandon says that nobody reads any more.
func (a *readAhead) abandon() {
	a.mu.Lock()
	a.gone = true
	a.mu.Unlock()
	signal(a.room)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
