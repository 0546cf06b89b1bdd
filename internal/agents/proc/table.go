package proc

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
)

// source is where processes are read from: /proc, or a made-up one in tests. A
// thread that is not 0 is read in place of a main thread that has left.
type source interface {
	list(dst []entry) ([]entry, error)
	stat(pid int, s *stat) error
	facts(pid, thread int, f *facts)
	identity(pid int, f *facts)
	descriptors(pid, thread int) *uint32
	io(pid int) (read, written uint64)
	// mayReadStatus reports whether stat tells the status with which a zombie ended.
	mayReadStatus(pid int) bool
	// clock returns the time since boot, and when it was that.
	clock() (up time.Duration, when time.Time)
	// cpus is how many there are.
	cpus() int
	// sight is what this process may see.
	sight() sight
}

// entry is a process in the list of all. Its number is another one when the pid was
// given again; it may also change while the process stays, and be 0.
type entry struct {
	pid    int
	number uint64
}

// errDenied says that a process is there and may not be read.
var errDenied = errors.New("permission denied")

// facts are what rarely changes about a process.
type facts struct {
	command   string
	args      []string
	exe, cwd  string
	hidden    bool // exe and cwd may not be read
	cgroup    string
	container container
	user, uid string
	group     string
	gid       string
}

// process is one process and what was last seen of it.
type process struct {
	pid     int
	number  uint64 // of its entry
	uid     string
	hash    uint64 // of uid, decides about sampling
	stat    stat
	facts   facts
	image   image     // last one that could be seen
	read    time.Time // of stat
	base    reference // what CPU use is measured from
	watched bool      // by the lists of the configuration
	cpu     float64   // percent of one core
	known   bool      // cpu has been measured
	status  bool      // stat.exit is the status with which it ended
	left    bool      // its main thread was seen to leave before the others
	moved   bool      // changed between the last two readings
	sent    uint64    // reading of the last sample, 0 for none
	slot    event.Slot
	seen    uint64 // scan
}

// change is what a scan found.
type change struct {
	started  []*process
	replaced []*process // execve(2) has made another program of them
	ended    []*process
}

// table holds the processes of this host.
type table struct {
	src     source
	hostID  string
	bootID  string
	boot    time.Time     // by the wall clock; see setClock
	up      time.Duration // from boot to when, in the last scan
	when    time.Time
	hz      float64
	page    uint64
	leader  bool // stat tells the status of a process, not of its main thread (Linux 5.17)
	watch   func(*process) bool
	byPID   map[int]*process
	denied  map[int]barred // that may not be read
	scans   uint64
	primed  bool
	entries []entry
	scratch stat
	lost    uint64 // processes that were gone when they were read
}

// scan compares the list of processes with the last one. The first scan finds
// nothing started: those processes were there before.
func (t *table) scan(c *change) error {
	c.started, c.replaced, c.ended = c.started[:0], c.replaced[:0], c.ended[:0]
	var err error
	if t.entries, err = t.src.list(t.entries[:0]); err != nil {
		return err
	}
	t.setClock()
	t.scans++
	for _, e := range t.entries {
		p, ok := t.byPID[e.pid]
		if ok && p.number == e.number && e.number != 0 {
			p.seen = t.scans
			continue
		}
		if ok && t.again(p, e, c) || !ok && t.isBarred(e) {
			continue
		}
		t.meet(e, c)
	}
	for pid, p := range t.byPID {
		if p.seen != t.scans {
			delete(t.byPID, pid)
			c.ended = append(c.ended, p)
		}
	}
	maps.DeleteFunc(t.denied, func(_ int, b barred) bool { return b.seen != t.scans })
	t.primed = true
	// Maps have no order; people and tests like one.
	slices.SortFunc(c.ended, func(a, b *process) int { return a.pid - b.pid })
	return nil
}

// maxDrift is how far the time of boot may be from where the wall clock would have it
// before it follows, so that slewing does not move the start of a process.
const maxDrift = time.Second

// setClock takes note of the time, and of a wall clock that was set.
func (t *table) setClock() {
	t.up, t.when = t.src.clock()
	boot := t.when.Round(0).Add(-t.up) // by the wall clock alone
	if d := boot.Sub(t.boot); d > maxDrift || d < -maxDrift {
		t.boot = boot
	}
}

// again reports whether an entry with another number is the process p still. If the
// pid was given again, p has ended.
func (t *table) again(p *process, e entry, c *change) bool {
	s := &t.scratch
	s.name = p.stat.name
	err := t.src.stat(e.pid, s)
	if err == nil && s.start == p.stat.start {
		p.number, p.seen = e.number, t.scans
		return true
	}
	delete(t.byPID, e.pid)
	c.ended = append(c.ended, p)
	if err != nil {
		t.lost++
	}
	return err != nil
}

// barred is an entry that was found unreadable, so that it is not tried at each look.
type barred struct{ number, seen uint64 }

// isBarred reports whether an entry was found unreadable before.
func (t *table) isBarred(e entry) bool {
	b, ok := t.denied[e.pid]
	if !ok || b.number != e.number || e.number == 0 {
		return false
	}
	t.bar(e)
	return true
}

func (t *table) bar(e entry) {
	if t.denied == nil {
		t.denied = map[int]barred{}
	}
	t.denied[e.pid] = barred{number: e.number, seen: t.scans}
}

// meet reads a process that is new.
func (t *table) meet(e entry, c *change) {
	p := &process{pid: e.pid, number: e.number, seen: t.scans}
	switch err := t.src.stat(e.pid, &p.stat); {
	case errors.Is(err, errDenied):
		t.bar(e)
		return
	case err != nil:
		t.lost++
		return
	}
	t.admit(p, time.Now())
	if t.primed {
		c.started = append(c.started, p)
	}
}

// admit makes a process known whose stat was read now. Its first CPU use is that since
// its start.
func (t *table) admit(p *process, now time.Time) {
	p.read = now
	p.image = p.stat.image
	t.describeAgain(p)
	p.uid, p.hash = t.identify(p.pid, p.stat.start)
	p.base = t.birth(p, now)
	t.measure(p, &p.stat, now, 0)
	t.noteEnd(p)
	t.byPID[p.pid] = p
}

// maxReads bounds how often the facts of a process that goes on calling execve(2) are
// read.
const maxReads = 3

// describeAgain reads the facts of the program that stat speaks of: it reads both
// again if execve(2) came between.
func (t *table) describeAgain(p *process) {
	for range maxReads {
		t.src.facts(p.pid, p.stat.thread, &p.facts)
		s := p.stat
		if t.src.stat(p.pid, &s) != nil || s.start != p.stat.start || !execed(p, &s) {
			break
		}
		p.stat, p.image = s, s.image
	}
	p.watched = t.watch(p)
}

// identify names a process for good, and gives a number that is as even as chance.
func (t *table) identify(pid int, start uint64) (uid string, hash uint64) {
	uid = entity.ProcessUID(t.hostID, t.bootID, uint64(pid), start)
	hash, _ = strconv.ParseUint(uid[:16], 16, 64) // it is hexadecimal
	return uid, hash
}

// created is when a process started.
func (t *table) created(p *process) time.Time {
	return t.boot.Add(t.span(p.stat.start))
}

// sampled reports whether readings of p are sent at this rate.
func (p *process) sampled(rate float64) bool {
	return rate >= 1 || float64(p.hash) < rate*math.MaxUint64
}
