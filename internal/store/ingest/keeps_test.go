package ingest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
	"github.com/amoskys/amoskys/internal/vfs"
)

// TestADayOfWhichTheLogHasNothingIsNotWaitedFor: that it is gone is known at once, and not
// only when the next event comes.
func TestADayOfWhichTheLogHasNothingIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	l, path := newLogged(31), t.TempDir()
	days(t, l, 300)
	r := startFeed(t, l, path)
	r.settled(t, l)
	r.stop()
	today := l.now.UTC().Format(dayFormat)
	had := r.Place().Days[today]
	spoil(t, path, today)
	l.log.(*streamtest.Model).Trim(l.log.Stat().NextOffset)
	r = startFeed(t, l, path)
	r.settled(t, l)
	lacks := slices.DeleteFunc(r.Lacks(l.now, time.Time{}), func(l *pb.Lack) bool { return l.GetPlace() != "store" })
	if len(lacks) != 1 || lacks[0].GetCount() != had || r.Status().GetState() != "ok" {
		t.Errorf("of %d events, lacks %v, status %v", had, lacks, r.Status())
	}
}

// TestRebuildsBelieveTheTimesThatWereBelieved: which day an event is of depends on how
// many days were kept when it came. When its day is built again, it is there once, however
// many are kept now.
func TestRebuildsBelieveTheTimesThatWereBelieved(t *testing.T) {
	t.Parallel()
	l, path := newLogged(32), t.TempDir()
	l.now = time.Now().UTC().Truncate(24 * time.Hour).Add(time.Second)
	old := l.now.AddDate(0, 0, -20)
	late := func(n int) {
		for range n {
			l.n++
			ev := &pb.Event{Id: []byte("late-" + time.Duration(1e17+l.n).String()), Time: timestamppb.New(old), Type: "test.late"}
			b, err := event.Encode(ev)
			if err != nil {
				t.Fatal(err)
			}
			l.appendEvents(t, slices.Clone(b))
		}
	}
	run := func(days int, what func(r *running)) {
		r := startFeed(t, l, path, func(o *Options) { o.Retention.Days = days })
		what(r)
		r.settled(t, l)
		r.stop()
	}
	run(30, func(*running) { late(3) }) // of their own day
	run(10, func(*running) { late(5) }) // of today
	run(30, func(*running) { late(7) })
	for _, kept := range []int{30, 10, 5} {
		spoil(t, path, old.Format(dayFormat))
		spoil(t, path, l.now.Format(dayFormat))
		run(kept, func(r *running) {
			r.settled(t, l)
			l.same(t, stored(t, r.keeper.Client(), "*"))
			p := r.Place()
			if p.Days[old.Format(dayFormat)] != 10 || p.Days[l.now.Format(dayFormat)] != 5 || len(r.Lacks(time.Time{}, time.Time{})) > 0 {
				t.Errorf("with %d days kept: days %v, bounds %v, lacks %v", kept, p.Days, p.Bounds, r.Lacks(time.Time{}, time.Time{}))
			}
		})
	}
}

// sharedDisk is one that others use, too.
type sharedDisk struct {
	vfs.OS

	free, used uint64
}

func (d *sharedDisk) FreeBytes(string) (uint64, error) { return d.free, nil }
func (d *sharedDisk) UsedBytes(string) (uint64, error) { return d.used, nil }

// TestADiskThatOthersFill: the store gives up days for room, but not its newest seven
// where that would only feed what fills the disk; the status says who that is.
func TestADiskThatOthersFill(t *testing.T) {
	t.Parallel()
	l := newLogged(33)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for back := 9; back >= 0; back-- {
		l.now = today.AddDate(0, 0, -back).Add(time.Minute)
		l.appendMany(t, 50)
	}
	disk := &sharedDisk{free: 1 << 40, used: 1 << 40}
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.FS, o.Retention.MinFree = disk, 100<<20 })
	r.settled(t, l)
	if err := r.keeper.Mended(t.Context(), keeper.State{}); err != nil { // it measures the days
		t.Fatal(err)
	}
	for _, step := range []struct {
		what       string
		free, used uint64
		days       int
		state      string
	}{
		{"there is room", 1 << 40, 1 << 40, 10, "ok"},
		{"something else fills the disk", 90 << 20, 1 << 40, 7, "degraded"},
		{"still", 10 << 20, 1 << 40, 7, "degraded"},
		{"there is room again", 1 << 40, 1 << 40, 7, "ok"},
		{"the store fills the disk", 90 << 20, 1 << 10, 1, "ok"},
	} {
		disk.free, disk.used = step.free, step.used
		if err := r.retainOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := r.Status()
		if names := dayNamesOf(t, r.keeper.Client()); len(names) != step.days || s.GetState() != step.state {
			t.Errorf("%s: days %v, status %v", step.what, names, s)
		}
		if step.state == "degraded" && !strings.Contains(s.GetReason(), "something else fills the disk") {
			t.Errorf("%s: %s", step.what, s.GetReason())
		}
	}
}

// TestSinceWhenEventsAreKept is told to the event, after a start and a removal too.
func TestSinceWhenEventsAreKept(t *testing.T) {
	t.Parallel()
	l, path := newLogged(34), t.TempDir()
	days(t, l, 100)
	oldest := func(from time.Time) (first time.Time) {
		for _, encoded := range l.events {
			if _, thinned := event.ThinnedReading(encoded); thinned {
				continue
			}
			ev, err := event.Decode(encoded)
			if err != nil {
				t.Fatal(err)
			}
			if at := event.Time(ev); !at.Before(from) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		return first
	}
	r := startFeed(t, l, path)
	r.settled(t, l)
	if got := r.Status().GetOldestTime().AsTime(); !got.Equal(oldest(time.Time{})) {
		t.Errorf("oldest %v, want %v", got, oldest(time.Time{}))
	}
	r.stop()
	r = startFeed(t, l, path)
	r.settled(t, l)
	until(t, "it is told after a start", func() bool { return r.Status().GetOldestTime().AsTime().Equal(oldest(time.Time{})) })
	r.o.Retention.Days = 1
	if err := r.retainOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	if got := r.Status().GetOldestTime().AsTime(); !got.Equal(oldest(yesterday)) {
		t.Errorf("oldest %v, want %v", got, oldest(yesterday))
	}
}
