package scanner

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/service"
)

// TestDue: a port counts as asked once it was.
func TestDue(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	k, _ := keeping(t, &at, deaf())
	h := &scan.Host{IP: netip.MustParseAddr("192.0.2.1"), MAC: net.HardwareAddr{0, 0, 0x5e, 0, 0x53, 1}}
	p := scan.Open{Port: 22, Protocol: "tcp"}
	due := func(want, anew bool) {
		t.Helper()
		if k.a.due(h, p, anew) != want {
			t.Errorf("due is %t", !want)
		}
	}
	due(true, false)
	due(true, false)
	k.a.noteAsked(h, []service.Asked{{Port: 22, Protocol: "tcp"}})
	due(false, false)
	due(true, true)
	at = at.Add(25 * time.Hour)
	due(true, false)
}

// TestTasksRunOutsideOfHours: while the rounds wait for their hours, others may scan.
func TestTasksRunOutsideOfHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := deaf()
		from := (time.Now().Hour() + 5) % 24
		cfg.Discovery.Subnets, cfg.Discovery.Hours = []string{"192.0.2.1"}, scan.Hours{From: from * 60, To: from*60 + 30}.String()
		a, err := New(cfg, quiet(t, t.TempDir(), agenttest.NewRecorder()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.rounds(ctx)
		}()
		synctest.Wait()
		if len(a.scanning) != 1 {
			t.Error("a scan that waits for its hours keeps others from scanning")
		}
		cancel()
		<-done
	})
}
