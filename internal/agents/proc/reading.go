package proc

import (
	"math"
	"time"

	"github.com/amoskys/amoskys/internal/event"
)

// minMove is the change of resident memory that counts as one, in bytes.
const minMove = 64 << 10

// refresh reads every process again. Pids that were given again since the last scan
// and programs that were replaced by execve(2) are added to c.
func (t *table) refresh(c *change) {
	now := time.Now()
	for pid, p := range t.byPID {
		s := &t.scratch
		s.name = p.stat.name
		if t.src.stat(pid, s) != nil {
			p.moved = false // the next scan finds it gone
			continue
		}
		before := now
		now = time.Now()
		delay := now.Sub(before)
		if s.start != p.stat.start {
			c.ended = append(c.ended, p)
			fresh := &process{pid: pid, seen: p.seen, stat: *s}
			t.admit(fresh, now)
			c.started = append(c.started, fresh)
			continue
		}
		if execed(p, s) {
			fresh := *p // what was found before keeps its own facts
			p = &fresh
			t.byPID[pid] = p
			p.image = s.image
			p.slot = event.Slot{} // the first reading of a program is kept
			t.update(p, s, now, delay)
			t.describeAgain(p)
			c.replaced = append(c.replaced, p)
			continue
		}
		renamed := s.name != p.stat.name
		t.update(p, s, now, delay)
		if renamed {
			t.describeAgain(p) // who renames itself writes over its arguments too
		}
	}
}

// execed reports whether execve(2) was called between the reading in p and s. A name,
// a command line or a path that changed proves nothing: a process may write over the
// former two, and its file be replaced. Where the image may not be seen, only the first
// call after a fork is told.
func execed(p *process, s *stat) bool {
	return p.stat.forked && !s.forked || p.image != (image{}) && s.image != (image{}) && s.image != p.image
}

// update stores a new reading.
func (t *table) update(p *process, s *stat, now time.Time, delay time.Duration) {
	used := s.ticks() - min(p.stat.ticks(), s.ticks())
	grown := math.Abs(float64(s.rssPages-p.stat.rssPages)) * float64(t.page)
	p.moved = used > 0 || grown >= minMove || s.state != p.stat.state || s.threads != p.stat.threads
	t.measure(p, s, now, delay)
	p.stat, p.read = *s, now
	if s.image != (image{}) {
		p.image = s.image
	}
	t.noteEnd(p)
}

// noteEnd finds out whether the status of a process that has become a zombie may be
// told: it is 0 where it may not be read, and before Linux 5.17 that of the main
// thread, whatever the process ended with.
func (t *table) noteEnd(p *process) {
	p.left = p.left || p.stat.thread != 0
	if p.stat.state == 'Z' && !p.status && (t.leader || !p.left) {
		p.status = t.src.mayReadStatus(p.pid)
	}
}
