package event_test

import (
	"slices"
	"testing"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestSelector: an event is chosen by what its envelope says, whatever else is in it.
func TestSelector(t *testing.T) {
	for _, ev := range eventtest.Filled() {
		b := encoded(t, ev)
		for name, tt := range map[string]struct {
			filter *pb.Filter
			want   bool
		}{
			"all":            {&pb.Filter{}, true},
			"its type":       {&pb.Filter{Types: []string{"x.y", ev.GetType()}}, true},
			"another type":   {&pb.Filter{Types: []string{"x.y"}}, false},
			"its agent":      {&pb.Filter{Agents: []string{ev.GetAgent().GetId()}}, true},
			"another agent":  {&pb.Filter{Agents: []string{"other"}}, false},
			"its host":       {&pb.Filter{Hosts: []string{ev.GetHost().GetName()}}, true},
			"another host":   {&pb.Filter{Hosts: []string{"other"}}, false},
			"its severity":   {&pb.Filter{MinSeverity: ev.GetSeverity()}, true},
			"a more serious": {&pb.Filter{MinSeverity: ev.GetSeverity() + 1}, false},
		} {
			s := event.NewSelector(tt.filter)
			// A field that comes twice counts as it does for the decoder: the last one.
			twice := append(slices.Clone(encoded(t, &pb.Event{Type: "a.b", Severity: 1})), b...)
			for _, each := range [][]byte{b, twice} {
				if got := s.Match(each); got != tt.want {
					t.Errorf("%s: %s: %v", ev.GetType(), name, got)
				}
			}
			if cut := b[:len(b)-1]; s != nil && s.Match(cut) {
				t.Errorf("%s: %s: one that is cut matches", ev.GetType(), name)
			}
		}
	}
}
