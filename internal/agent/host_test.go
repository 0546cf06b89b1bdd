package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestEventsNameTheHostAsItIs: an agent that starts before its machine has an address
// names the address from when there is one.
func TestEventsNameTheHostAsItIs(t *testing.T) {
	p := &publisher{now: time.Now, origin: event.Origin{Agent: &pb.Agent{Id: "a"}, Now: time.Now}}
	first := &pb.Host{Name: "web-1", Id: "1", OsVersion: "12"}
	p.host.Store(first)
	host := func() *pb.Host {
		t.Helper()
		b, err := p.encode(&pb.Event{Type: event.TypeAgentHealth})
		if err != nil {
			t.Fatal(err)
		}
		ev, err := event.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		return ev.GetHost()
	}
	if got := host(); len(got.GetIp()) != 0 {
		t.Errorf("addresses %v", got.GetIp())
	}
	if same := current(first, nil, "12"); same != first {
		t.Error("a copy though nothing has changed")
	}
	p.host.Store(current(first, []string{"192.0.2.1"}, "13"))
	got := host()
	if diff := cmp.Diff([]string{"192.0.2.1"}, got.GetIp()); diff != "" || got.GetOsVersion() != "13" || got.GetName() != "web-1" || got.GetId() != "1" {
		t.Errorf("host %v", got)
	}
	if len(first.GetIp()) != 0 {
		t.Error("a message that published events share was changed")
	}
}

func TestSince(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)
	tests := []struct {
		name string
		now  time.Time
		ago  time.Duration
		want time.Time
	}{
		{"nothing happened", first.Add(time.Hour), time.Hour, first},
		{"slewed", first.Add(time.Hour + 400*time.Millisecond), time.Hour, first},
		{"set ahead", first.Add(4 * time.Hour), time.Hour, first.Add(3 * time.Hour).Round(time.Second)},
		{"set back", first.Add(-2 * time.Hour), time.Hour, first.Add(-3 * time.Hour).Round(time.Second)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Since(first, tt.now, tt.ago); !got.Equal(tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
