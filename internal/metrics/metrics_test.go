package metrics

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/vfs"
)

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got = strings.TrimSpace(got); got != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

// TestReadings: samples get into the database as events say, in their place.
func TestReadings(t *testing.T) {
	f := newFleet(t)
	begin := f.now
	at := func(ev *pb.Event, d time.Duration) *pb.Event {
		ev.Time = timestamppb.New(f.now.Add(d))
		return ev
	}
	f.say(process(7, 1.5, 100))
	f.after(5*time.Second).say(process(7, 2.5, 200), gauge("queue", 1, "lane", "a"))
	f.after(5*time.Second).say(process(7, 2.5, 150), gauge("queue", math.Inf(1), "lane", "a"))
	f.after(5*time.Second).say(gauge("queue", math.NaN(), "lane", "a"), gauge("back_total", 10))
	f.after(5 * time.Second).say(gauge("back_total", 3))
	f.say(at(gauge("late", 1), 0))
	f.say(at(gauge("late", 2), -20*time.Minute), at(gauge("late", 2), -20*time.Minute)) // out of order, twice
	f.say(at(gauge("late", 3), -25*time.Hour))                                          // too late
	f.say(at(gauge("early", 1), 4*time.Minute), at(gauge("early", 2), 40*time.Minute))
	f.say(gauge("twice", 1), gauge("twice", 2))
	db, _ := f.run(t, Options{})
	f.caughtUp(t, db)
	check(t, "CPU", f.values(t, db, "process_cpu_percent", begin), "pid=7: 0=1.5 5=2.5 10=2.5")
	check(t, "memory", f.values(t, db, "process_memory_bytes", begin), "pid=7: 0=100 5=200 10=150")
	check(t, "numbers that are none", f.values(t, db, "queue", begin), "lane=a: 5=1 10=+Inf 15=NaN")
	check(t, "a counter that goes back", f.values(t, db, "back_total", begin), "15=10 20=3")
	check(t, "what comes late", f.values(t, db, "late", begin), "-1180=2 20=1")
	check(t, "what comes early", f.values(t, db, "early", begin), "20=2 260=1")
	check(t, "two values", f.values(t, db, "twice", begin), "20=1")
	for reason, want := range map[string]float64{dropOld: 1, dropSeries: 0} {
		if got := testutil.ToFloat64(db.metrics.dropped.WithLabelValues(reason)); got != want {
			t.Errorf("%s: %v dropped, not %v", reason, got, want)
		}
	}
	if s := db.Held(); !s.Open || s.Series == 0 || s.Bytes == 0 || !s.Newest.Equal(begin.Add(260*time.Second)) {
		t.Errorf("%+v", s)
	}
	if state, reason := db.Status(); state != "ok" {
		t.Errorf("status %s %s", state, reason)
	}
}

// TestSeriesEnd: those of a process that ends, that leaves the top, and those which a
// later reading of the same thing has no more.
func TestSeriesEnd(t *testing.T) {
	f := newFleet(t)
	begin := f.now
	f.say(process(7, 1, 1), process(8, 1, 1))
	f.after(5 * time.Second).say(exit(7))
	stopped := process(8, 1, 1)
	stopped.GetProcess().GetUsage().State = pb.ProcessState_PROCESS_STATE_STOPPED
	f.after(5 * time.Second).say(stopped)
	for pid := range uint32(40) { // which leave it no room
		f.say(process(100+pid, 50, 1000))
	}
	f.after(15 * time.Second)
	for pid := range uint32(40) {
		f.say(process(100+pid, 50, 1000))
	}
	db, _ := f.run(t, Options{})
	f.caughtUp(t, db)
	got := f.values(t, db, "process_state", begin)
	for _, want := range []string{"pid=7,state=unknown: 0=1 5=stale", "pid=8,state=unknown: 0=1 10=stale", "pid=8,state=stopped: 10=1 25=stale"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nhas not %s", got, want)
		}
	}
	if n := strings.Count(got, "pid=1"); n < 18 || n > 22 {
		t.Errorf("%d processes have series:\n%s", n, got)
	}
}

// TestLabelBomb: an agent that makes series without end gets no more than its share, and
// others theirs.
func TestLabelBomb(t *testing.T) {
	f := newFleet(t)
	for i := range 30 {
		ev := gauge("bomb", 1, "n", strings.Repeat("x", i))
		ev.Agent.Id = "mad"
		f.after(time.Second).say(ev)
	}
	f.say(gauge("good", 1))
	db, _ := f.run(t, Options{SeriesOfAgent: 10})
	f.caughtUp(t, db)
	if n := strings.Count(f.values(t, db, "bomb", f.now), "\n") + 1; n != 10 {
		t.Errorf("the bomb has %d series", n)
	}
	if f.values(t, db, "good", f.now) == "" {
		t.Error("others have none")
	}
	if n := testutil.ToFloat64(db.metrics.dropped.WithLabelValues(dropSeries)); n != 20 {
		t.Errorf("%v dropped", n)
	}
}

// TestBombOfAHost: who speaks for many agents of one host gets no more than twice the share
// of one, and remembers nothing of what there was no room for.
func TestBombOfAHost(t *testing.T) {
	f := newFleet(t)
	for i := range 200 {
		ev := gauge("bomb", 1, "n", strconv.Itoa(i))
		ev.Agent.Id = fmt.Sprint("mad", i/5)
		f.after(time.Second).say(ev)
	}
	other := gauge("good", 1)
	other.Host = &pb.Host{Name: "h2"}
	f.say(other)
	db, stop := f.run(t, Options{SeriesOfAgent: 10})
	f.caughtUp(t, db)
	if n := strings.Count(f.values(t, db, "bomb", f.now), "\n") + 1; n != 20 {
		t.Errorf("the bomb has %d series", n)
	}
	if f.values(t, db, "good", f.now) == "" {
		t.Error("others have none")
	}
	stop()
	if n := len(db.writer.table.subjects); n > 6 {
		t.Errorf("%d subjects are remembered", n)
	}
}

// TestNoRoom: what there was no room for is not remembered.
func TestNoRoom(t *testing.T) {
	f := newFleet(t)
	for i := range 100 {
		ev := gauge("a", 1)
		ev.Agent.Id = fmt.Sprint("agent", i)
		ev.Host = &pb.Host{Name: fmt.Sprint("h", i)}
		f.after(time.Second).say(ev)
	}
	db, stop := f.run(t, Options{Series: 3})
	f.caughtUp(t, db)
	if state, reason := db.Status(); state != degraded || !strings.Contains(reason, "have no room") {
		t.Errorf("%s %s", state, reason)
	}
	stop()
	if n := len(db.writer.table.subjects); n > 4 {
		t.Errorf("%d subjects are remembered", n)
	}
}

// TestMuchAtOnce: the days of a log that is read in seconds are days, so that what ended on
// one of them is not held against an agent on the next.
func TestMuchAtOnce(t *testing.T) {
	f := newFleet(t)
	f.now = f.now.Add(-5 * 24 * time.Hour)
	for day := range 5 {
		for i := range 8 {
			ev := gauge("a", 1, "day", strconv.Itoa(day), "i", strconv.Itoa(i))
			f.after(time.Second).say(ev)
		}
		for range 24 * 6 {
			f.after(10 * time.Minute).say(gauge("clock", 1))
		}
	}
	db, _ := f.run(t, Options{SeriesOfAgent: 10})
	f.caughtUp(t, db)
	if n := strings.Count(f.values(t, db, "a", f.now), "\n") + 1; n != 40 {
		t.Errorf("there are %d series", n)
	}
}

// TestResume: what was written is there after a restart, and what comes again is there once.
func TestResume(t *testing.T) {
	f := newFleet(t)
	begin, path := f.now, t.TempDir()
	f.say(gauge("a", 1))
	f.after(time.Second).say(gauge("a", 2))
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	stop()
	if p, err := loadPlace(db.o.FS, path); err != nil || p.Offset != f.log.Stat().NextOffset || len(p.WAL) != 1 || p.WAL[0].Bytes == 0 {
		t.Errorf("the place is %+v, %v", p, err)
	}
	f.after(time.Second).say(gauge("a", 3))
	db, stop = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	check(t, "after a restart", f.values(t, db, "a", begin), "0=1 1=2 2=3")
	if n := testutil.ToFloat64(db.metrics.samples); n != 1 {
		t.Errorf("%v samples are read again", n-1)
	}
	stop()
	if err := (&place{}).save(db.o.FS, path); err != nil { // it is far behind
		t.Fatal(err)
	}
	db, _ = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	check(t, "from far behind", f.values(t, db, "a", begin), "0=1 1=2 2=3")
}

// TestLogReplaced: another log begins anew; what was written stays.
func TestLogReplaced(t *testing.T) {
	f := newFleet(t)
	begin, path := f.now, t.TempDir()
	f.say(gauge("a", 1))
	f.say(gauge("b", 1))
	f.say(gauge("c", 1))
	f.say(gauge("c", 1))
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	stop()
	other := newFleet(t)
	other.now = begin
	other.after(time.Minute).say(gauge("a", 2))
	db, _ = other.run(t, Options{Path: path})
	until(t, "the log is read", func() bool { r := db.reader.Load(); return r != nil && !r.Status().Seen.IsZero() })
	other.after(time.Minute).say(gauge("a", 3))
	other.caughtUp(t, db)
	check(t, "both", f.values(t, db, "a", begin), "0=1 60=2 120=3")
}

// TestLongerLogReplaced: another log that is longer than the one before is read from its
// beginning, too, and so is one that comes while the database runs.
func TestLongerLogReplaced(t *testing.T) {
	f := newFleet(t)
	begin, path := f.now, t.TempDir()
	f.say(gauge("a", 1))
	f.say(gauge("b", 1))
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	stop()
	other := newFleet(t)
	other.now, other.n = begin, 100
	for v := 2.0; v < 5; v++ {
		other.after(time.Minute).say(gauge("a", v))
	}
	db, stop = other.run(t, Options{Path: path})
	other.caughtUp(t, db)
	check(t, "both", f.values(t, db, "a", begin), "0=1 60=2 120=3 180=4")
	stop()
	db, stop = other.run(t, Options{Path: path})
	other.caughtUp(t, db)
	if same, err := db.isOther(t.Context()); err != nil || same {
		t.Errorf("the same log passes for another: %v", err)
	}
	stop()
	if p, err := loadPlace(db.o.FS, path); err != nil || p.Last.ID == "" || p.Offset != p.Last.Offset+1 {
		t.Errorf("%+v %v", p, err)
	}
}

// TestPlaceIsDamaged: the log is read from its beginning.
func TestPlaceIsDamaged(t *testing.T) {
	f := newFleet(t)
	path := t.TempDir()
	f.say(gauge("a", 1))
	db, stop := f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	stop()
	if err := vfs.ReplaceFile(db.o.FS, path+"/"+PlaceFile, []byte("00000000\n{}")); err != nil {
		t.Fatal(err)
	}
	db, _ = f.run(t, Options{Path: path})
	f.caughtUp(t, db)
	check(t, "again", f.values(t, db, "a", f.now), "0=1")
}

// TestReservedNames: no agent passes for the hub, the store or the evaluation of rules.
func TestReservedNames(t *testing.T) {
	f := newFleet(t)
	reserved := []string{"amoskys_agent_degraded", "eventbus_queue_depth", "ALERTS", "ALERTS_FOR_STATE", "up"}
	for _, name := range append(reserved, "flow_x") {
		f.say(gauge(name, 1))
	}
	db, _ := f.run(t, Options{})
	f.caughtUp(t, db)
	for _, name := range reserved {
		check(t, name, f.values(t, db, name, f.now), "")
	}
	check(t, "others", f.values(t, db, "flow_x", f.now), "0=1")
	if n := testutil.ToFloat64(db.metrics.dropped.WithLabelValues(dropName)); n != 5 {
		t.Errorf("%g were dropped", n)
	}
}

// TestCompactionFails: the status says so, until it is long ago.
func TestCompactionFails(t *testing.T) {
	db, _ := newFleet(t).run(t, Options{})
	until(t, "it is open", db.CaughtUp)
	log := telling(obs.Discard(), nil, db.noteCompaction)
	log.Error("another thing", "err", errors.New("no matter"))
	if state, reason := db.Status(); state != "ok" {
		t.Error(reason)
	}
	log.Error("compaction failed", "err", errors.New("no room"))
	if state, reason := db.Status(); state != degraded || !strings.HasSuffix(reason, "no room") {
		t.Error(state, reason)
	}
	db.mu.Lock()
	db.uncompactedAt = time.Now().Add(-time.Hour)
	db.mu.Unlock()
	if state, reason := db.Status(); state != "ok" {
		t.Error(reason)
	}
}
