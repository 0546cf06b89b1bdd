package proc

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"time"
)

// source is where processes are read from: /proc, or a made-up one in tests.
type source interface {
	list(dst []int) ([]int, error)
	stat(pid int, s *stat) bool
	facts(pid int, f *facts)
	identity(pid int, f *facts)
	descriptors(pid int) *uint32
	io(pid int) (read, written uint64)
}

// facts are what rarely changes about a process.
type facts struct {
	command   string
	args      []string
	exe, cwd  string
	cgroup    string
	container string
	user, uid string
	group     string
	gid       string
}

// process is one process and what was last seen of it.
type process struct {
	pid     int
	uid     string
	hash    uint64 // of uid, decides about sampling
	stat    stat
	facts   facts
	read    time.Time // of stat
	watched bool      // by the lists of the configuration
	cpu     float64   // percent of one core between the last two readings
	moved   bool      // changed between the last two readings
	sent    uint64    // reading of the last sample, 0 for none
	seen    uint64    // scan
}

// change is what a scan found.
type change struct {
	started []*process
	ended   []*process
}

// table holds the processes of this host.
type table struct {
	src     source
	hostID  string
	bootID  string
	boot    time.Time
	hz      float64
	page    uint64
	watch   func(*process) bool
	byPID   map[int]*process
	scans   uint64
	primed  bool
	pids    []int
	scratch stat
	lost    uint64 // processes that were gone when they were read
}

// scan compares the list of processes with the last one. The first scan finds
// nothing started: those processes were there before.
func (t *table) scan(now time.Time, c *change) error {
	c.started, c.ended = c.started[:0], c.ended[:0]
	var err error
	if t.pids, err = t.src.list(t.pids[:0]); err != nil {
		return err
	}
	t.scans++
	for _, pid := range t.pids {
		if p, ok := t.byPID[pid]; ok {
			p.seen = t.scans
			continue
		}
		p := &process{pid: pid, seen: t.scans}
		if !t.src.stat(pid, &p.stat) {
			t.lost++
			continue
		}
		t.admit(p, now)
		if t.primed {
			c.started = append(c.started, p)
		}
	}
	for pid, p := range t.byPID {
		if p.seen != t.scans {
			delete(t.byPID, pid)
			c.ended = append(c.ended, p)
		}
	}
	t.primed = true
	// Maps have no order; people and tests like one.
	slices.SortFunc(c.ended, func(a, b *process) int { return a.pid - b.pid })
	return nil
}

// admit makes a process with a fresh stat known.
func (t *table) admit(p *process, now time.Time) {
	p.read = now
	p.uid, p.hash = t.identify(p.pid, p.stat.start)
	t.src.facts(p.pid, &p.facts)
	p.watched = t.watch(p)
	t.byPID[p.pid] = p
}

// identify names a process for good: pids are reused, but not with the same start
// time on the same boot of the same host.
func (t *table) identify(pid int, start uint64) (uid string, hash uint64) {
	b := make([]byte, 0, 128)
	b = append(append(append(append(b, t.hostID...), 0), t.bootID...), 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(pid))
	b = binary.LittleEndian.AppendUint64(b, start)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), binary.BigEndian.Uint64(sum[:8])
}

// minMove is the change of resident memory that counts as one, in bytes.
const minMove = 64 << 10

// refresh reads every process again. Pids that were reused since the last scan
// and programs that were replaced by execve(2) are added to c.
func (t *table) refresh(c *change) {
	for pid, p := range t.byPID {
		s := &t.scratch
		s.name = p.stat.name
		if !t.src.stat(pid, s) {
			p.moved = false // the next scan finds it gone
			continue
		}
		now := time.Now()
		if s.start != p.stat.start {
			c.ended = append(c.ended, p)
			fresh := &process{pid: pid, seen: p.seen, stat: *s}
			t.admit(fresh, now)
			c.started = append(c.started, fresh)
			continue
		}
		renamed := s.name != p.stat.name
		execed := s.stack != p.stat.stack && s.stack != 0 && p.stat.stack != 0
		t.update(p, s, now)
		if (renamed || execed) && t.replaced(p) || execed {
			c.started = append(c.started, p)
		}
	}
}

// update stores a new reading.
func (t *table) update(p *process, s *stat, now time.Time) {
	used := s.ticks() - min(p.stat.ticks(), s.ticks())
	p.cpu = 0
	if span := now.Sub(p.read).Seconds(); span > 0 {
		p.cpu = 100 * float64(used) / t.hz / span
	}
	grown := math.Abs(float64(s.rssPages-p.stat.rssPages)) * float64(t.page)
	p.moved = used > 0 || grown >= minMove || s.state != p.stat.state || s.threads != p.stat.threads
	p.stat, p.read = *s, now
}

// replaced reads the facts again and reports whether another program runs now,
// for processes whose stack may not be seen. A process may also just have renamed
// itself and written over its arguments, as many servers do.
func (t *table) replaced(p *process) bool {
	var f facts
	t.src.facts(p.pid, &f)
	other := f.exe != p.facts.exe && f.exe != ""
	if f.exe == "" && p.stat.stack == 0 {
		other = f.command != p.facts.command && f.command != ""
	}
	p.facts = f
	p.watched = t.watch(p)
	return other
}

// created is when a process started.
func (t *table) created(p *process) time.Time {
	return t.boot.Add(time.Duration(float64(p.stat.start) / t.hz * float64(time.Second)))
}

// sampled reports whether readings of p are sent at this rate.
func (p *process) sampled(rate float64) bool {
	return rate >= 1 || float64(p.hash) < rate*math.MaxUint64
}
