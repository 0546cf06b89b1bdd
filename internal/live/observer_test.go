package live_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// observed is a ring with events that h1 saw of itself, under several spellings of
// its name, of web-1 and of a device. There are enough to fill a block, whose
// events are searched by another way.
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
	r.ring.Add(batchOf(0, r.now, events...))
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

func TestSearchByPublisherAndObserver(t *testing.T) {
	r := observed(t)
	facets := []string{"publisher", "observer", "about", "host"}
	for _, tt := range []struct {
		query string
		total uint64
	}{
		{"publisher:spiffe://test/agent/h1", 3000},
		{"publisher:*/agent/h1 host:h1", 1000},
		{"publisher:*/agent/web-1", 0},
		{"observer:h1", 2000},
		{"observer:h1 host:web-1", 1000},
		{"observer:H1 about:switch-*", 1000},
		{"NOT observer:*", 1000},
		{`agent:="proc_agent" (host:="h1" OR observer:="h1")`, 3000}, // as the page asks for an agent's events
		{"host:web-1 NOT publisher:*/agent/web-1", 1000},
		{`"spiffe://test/agent/h1"`, 0}, // no word of the event itself
	} {
		got, err := r.ring.Search(t.Context(), &pb.SearchEventsRequest{Filter: &pb.Filter{Query: tt.query}, Facets: facets})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetTotal() != tt.total {
			t.Errorf("%s: %d events, want %d", tt.query, got.GetTotal(), tt.total)
		}
	}
	for name, f := range map[string]*pb.Filter{"hosts": {Hosts: []string{"WEB-1."}}, "agents": {Hosts: []string{"web-1"}, Agents: []string{" Proc_Agent"}}} {
		if got, err := r.ring.Search(t.Context(), &pb.SearchEventsRequest{Filter: f}); err != nil || got.GetTotal() != 1000 {
			t.Errorf("%s: %d events, %v", name, got.GetTotal(), err)
		}
	}
	got, err := r.ring.Search(t.Context(), &pb.SearchEventsRequest{Facets: facets})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]map[string]uint64{}
	for _, f := range got.GetFacets() {
		values[f.GetField()] = map[string]uint64{}
		for _, v := range f.GetValues() {
			values[f.GetField()][v.GetValue()] = v.GetCount()
		}
	}
	want := map[string]map[string]uint64{
		"publisher": {"spiffe://test/agent/h1": 3000}, "observer": {"h1": 2000}, "about": {"switch-1": 1000}, "host": {"h1": 1000, "web-1": 1000},
	}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Error(diff)
	}
}
