package live_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// observed has events that h1 saw of itself, under several spellings of its name, of
// web-1 and of a device.
func observed(t *testing.T) *recording {
	t.Helper()
	r := newRecording(live.RecorderOptions{})
	var events [][]byte
	for range 3000 {
		ev := sample(r.n)
		switch r.n % 3 {
		case 0:
			ev.Host = &pb.Host{Name: []string{"h1", "H1", "h1."}[r.n/3%3]}
		case 1:
			ev.Host, ev.Observer = &pb.Host{Name: "Web-1"}, &pb.Host{Name: "h1"}
		case 2:
			ev.Host, ev.Observer, ev.About = nil, &pb.Host{Name: "H1"}, &pb.Device{Name: "switch-1"}
		}
		events = append(events, encode(t, ev))
		r.n++
	}
	r.feed.Count(r.now, len(events), batchOf(0, events...))
	return r
}

// TestObservedHostsAreNotAlive: what others saw of a host counts for who saw it.
func TestObservedHostsAreNotAlive(t *testing.T) {
	r := observed(t)
	r.now = epoch.Add(time.Second)
	want := `from 0s each 1s
agent_events_per_secondmap[agent:proc_agent host:h1] 3000
host_events_per_secondmap[host:h1] 3000`
	if diff := cmp.Diff(want, r.read(t, names(time.Second, epoch, live.SeriesAgentEvents, live.SeriesHostEvents))); diff != "" {
		t.Error(diff)
	}
}
