package ingest

import (
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
