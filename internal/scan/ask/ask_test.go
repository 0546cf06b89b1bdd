package ask

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/scan"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		one := turns{every: time.Second / 2}
		for range 5 {
			if err := one.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("five took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if one.wait(ctx) == nil {
			t.Error("waits longer than it may")
		}
	})
}

// TestNew: what a plan says of its pace holds for what is asked too.
func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		plan         scan.Plan
		hosts, ports int
	}{
		"as fast as it goes":  {scan.Plan{}, 32, 0},
		"ten packets":         {scan.Plan{Rate: 10}, 2, 1},
		"one packet":          {scan.Plan{Rate: 1}, 1, 1},
		"many packets":        {scan.Plan{Rate: 10_000}, 32, 1},
		"one packet a host":   {scan.Plan{HostRate: 1}, 32, 1},
		"in the night":        {scan.Plan{Hours: scan.Hours{From: 60, To: 120}}, 32, 16},
		"slowly in the night": {scan.Plan{Rate: 40, Hours: scan.Hours{From: 60, To: 120}}, 10, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if a := New(c.plan, 32); a.AtOnce() != c.hosts || a.ports != c.ports {
				t.Errorf("%d hosts at once and %d ports, want %d and %d", a.AtOnce(), a.ports, c.hosts, c.ports)
			}
		})
	}
}
