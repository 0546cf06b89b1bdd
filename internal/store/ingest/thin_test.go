package ingest

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestReadingsAreThinned: of marked readings no row is stored, whatever is marked besides
// is, the place moves on over them, and a start later knows where it was and how many
// they were.
func TestReadingsAreThinned(t *testing.T) {
	t.Parallel()
	l, path := newLogged(41), t.TempDir()
	one := func(typ string, marked bool) []byte {
		return l.encode(t, &pb.Event{
			Type: typ, MetricsOnly: marked, Host: &pb.Host{Name: "web-1"}, Time: timestamppb.New(l.now),
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{Pid: 7}}},
		})
	}
	l.appendEvents(t, one(event.TypeProcessSample, false), one(event.TypeProcessSample, true), one(event.TypeProcessExit, true))
	r := startFeed(t, l, path)
	r.settled(t, l)
	l.appendEvents(t, one(event.TypeProcessSample, true), one(event.TypeProcessSample, true)) // no row at all
	r.settled(t, l)
	check := func() {
		t.Helper()
		l.same(t, stored(t, r.keeper.Client(), "*"))
		s := r.Status()
		if s.GetEvents() != 2 || s.GetThinned() != 3 || s.GetLagEvents() != 0 || s.GetDays()[0].GetThinned() != 3 {
			t.Errorf("status %v", s)
		}
	}
	check()
	r.stop()
	if p := r.Place(); p.Offset != l.log.Stat().NextOffset || p.Last == "" {
		t.Errorf("place %+v", p)
	}
	r = startFeed(t, l, path)
	r.settled(t, l)
	check()
	if r.Place().Log != 0 {
		t.Error("the log was taken for another one")
	}
}

// TestWhatWasLeftOutIsForgotten: of a day that is older than what is kept, and of which
// the engine has nothing that could be removed.
func TestWhatWasLeftOutIsForgotten(t *testing.T) {
	t.Parallel()
	l := newLogged(42)
	reading := func() []byte { return l.reading(t, true) }
	today := l.now
	l.now = today.AddDate(0, 0, -60)
	l.appendEvents(t, reading())
	r := startFeed(t, l, t.TempDir())
	r.settled(t, l)
	if s := r.Status(); s.GetThinned() != 1 {
		t.Errorf("status %v", s)
	}
	l.now = today
	l.appendEvents(t, reading(), reading())
	r.settled(t, l)
	if s := r.Status(); s.GetThinned() != 2 || len(s.GetDays()) != 1 {
		t.Errorf("status %v", s)
	}
}

// TestAPlaceThatIsLostAmongReadings: of the log's oldest event the store has no row, and
// knows all the same whether this is the log that it has rows of.
func TestAPlaceThatIsLostAmongReadings(t *testing.T) {
	t.Parallel()
	for name, log := range map[string]uint64{"the same log": 0, "another log": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, path := newLogged(43), t.TempDir()
			old.appendEvents(t, old.reading(t, true), old.reading(t, true), old.reading(t, false), old.reading(t, false))
			r := startFeed(t, old, path)
			r.settled(t, old)
			r.stop()
			if err := os.WriteFile(filepath.Join(path, PlaceFile), []byte("0\n{}"), 0o600); err != nil {
				t.Fatal(err)
			}
			l := old
			if log > 0 {
				l = newLogged(44)
				for range 5 {
					l.appendEvents(t, l.reading(t, false))
				}
			}
			r = startFeed(t, l, path)
			r.settled(t, l)
			if p := r.Place(); p.Log != log {
				t.Errorf("the store is in log %d", p.Log)
			}
			old.same(t, stored(t, r.keeper.Client(), `log:""`))
			if log > 0 {
				l.same(t, stored(t, r.keeper.Client(), "log:=1"))
			}
		})
	}
}

// reading is one that may be marked as one for the metrics alone.
func (l *logged) reading(t *testing.T, marked bool) []byte {
	t.Helper()
	return l.encode(t, &pb.Event{
		Type: event.TypeProcessSample, MetricsOnly: marked, Host: &pb.Host{Name: "web-1"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{Pid: 7}}},
	})
}

// kept is how many events are to be stored: all but readings for the metrics alone.
func (l *logged) kept() (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.events {
		if _, thinned := event.ThinnedReading(b); !thinned {
			n++
		}
	}
	return n
}
