package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/hub/own"
)

// stream is one stream of the node web-1 in a test.
type stream struct {
	sighting
	open  bool // the stream before has not ended
	after time.Duration
	two   bool
}

func TestTwoOfOneName(t *testing.T) {
	a, b := sighting{"machine-a", "run-1", "192.0.2.1"}, sighting{"machine-b", "run-2", "192.0.2.2"}
	restarted := sighting{"machine-a", "run-3", "192.0.2.1"}
	moved := sighting{"machine-a", "run-1", "198.51.100.7"}
	clone := sighting{"machine-a", "run-4", "192.0.2.4"}
	older, olderB := sighting{"machine-a", "", "192.0.2.1"}, sighting{"machine-b", "", "192.0.2.2"}
	nameless := sighting{"", "", "192.0.2.9"}
	for name, streams := range map[string][]stream{
		"a network that comes and goes": {{sighting: a}, {sighting: a, open: true}, {sighting: moved, open: true}, {sighting: a}},
		"restarts":                      {{sighting: a}, {sighting: restarted}, {sighting: clone}, {sighting: b}},
		"a restart, dead without word":  {{sighting: a}, {sighting: restarted, open: true}},
		"a machine was replaced":        {{sighting: a}, {sighting: b}},
		"two machines":                  {{sighting: a}, {sighting: b, open: true, two: true}},
		"two machines, in turns":        {{sighting: a}, {sighting: b}, {sighting: a, two: true}},
		"a copy of a machine":           {{sighting: a}, {sighting: clone, open: true}, {sighting: a, open: true, two: true}},
		"told once an hour": {
			{sighting: a},
			{sighting: b, open: true, two: true},
			{sighting: a, open: true},
			{sighting: b, open: true, after: 59 * time.Minute},
			{sighting: a, open: true, after: 2 * time.Minute, two: true},
		},
		"nodes without a run":      {{sighting: older}, {sighting: older, open: true}, {sighting: olderB}, {sighting: older, two: true}},
		"a machine without an id":  {{sighting: a}, {sighting: nameless, open: true}, {sighting: nameless, open: true}},
		"long after it was stable": {{sighting: a}, {sighting: b, open: true, two: true, after: 72 * time.Hour}},
		"long after it left":       {{sighting: a}, {sighting: b, after: 72 * time.Hour}, {sighting: a, after: 72 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSightings()
			now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
			for i, st := range streams {
				now = now.Add(st.after + time.Second)
				if got := s.came("web-1", st.sighting, st.open, now); got != st.two {
					t.Errorf("stream %d: two %v, want %v", i+1, got, st.two)
				}
				if st.two && !strings.Contains(s.warning("web-1", now), "--force --host") {
					t.Errorf("stream %d: warned %q", i+1, s.warning("web-1", now))
				}
			}
			for _, f := range s.told() {
				one := f.Observables["machine_1.id"] == f.Observables["machine_2.id"]
				if one != strings.HasPrefix(f.Title, "Two nodes run as web-1") {
					t.Errorf("%q of machines %v", f.Title, f.Observables)
				}
			}
			if w := s.warning("web-1", now.Add(rivalFor)); w != "" {
				t.Errorf("long after: %q", w)
			}
		})
	}
}

func (s *sightings) told() (list []own.Finding) {
	for {
		select {
		case f := <-s.findings:
			list = append(list, f)
		default:
			return list
		}
	}
}

// TestSightingsAreBounded: names come and go, and are forgotten.
func TestSightingsAreBounded(t *testing.T) {
	s := newSightings()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range maxSighted + 10 {
		node := fmt.Sprintf("h%d", i)
		for j := range 6 {
			s.came(node, sighting{fmt.Sprint(j), fmt.Sprint(j), "192.0.2.1"}, false, now)
		}
		s.left(node, now)
	}
	if n := len(s.byNode); n != maxSighted || len(s.byNode["h0"].last) != maxSightings {
		t.Errorf("%d names are kept, %d streams of one", n, len(s.byNode["h0"].last))
	}
	s.expire(now.Add(sightedFor + time.Minute))
	if n := len(s.byNode); n != 0 {
		t.Errorf("%d names are kept after a day", n)
	}
}
