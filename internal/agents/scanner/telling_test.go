package scanner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// keeping is a keeper at a time that the test sets.
func keeping(t *testing.T, now *time.Time, cfg Config) (*keeper, *agenttest.Recorder) {
	t.Helper()
	recorder := agenttest.NewRecorder()
	o := quiet(t, t.TempDir(), recorder)
	o.Now = func() time.Time { return *now }
	a, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.experts()
	if err != nil {
		t.Fatal(err)
	}
	return newKeeper(a, e), recorder
}

// told are the types of events so far, in their order.
func told(t *testing.T, r *agenttest.Recorder) (types []string) {
	t.Helper()
	r.Wait(t, time.Second, "events", func(events []*pb.Event) bool {
		for _, ev := range events {
			types = append(types, strings.TrimPrefix(ev.GetType(), "device."))
		}
		return true
	})
	return types
}

// TestWhatWaits is told once, as what happened to the device in all.
func TestWhatWaits(t *testing.T) {
	changed := inventory.Change{Type: event.TypeDeviceChanged, Attributes: []string{"ports"}}
	back := inventory.Change{Type: event.TypeDeviceChanged, Attributes: []string{"returned"}}
	fresh, gone := inventory.Change{Type: event.TypeDeviceDiscovered}, inventory.Change{Type: event.TypeDeviceGone}
	for _, tt := range []struct {
		name    string
		changes []inventory.Change
		want    string
	}{
		{"changed", []inventory.Change{changed}, event.TypeDeviceChanged},
		{"new, then changed", []inventory.Change{fresh, changed}, event.TypeDeviceDiscovered},
		{"changed, then gone", []inventory.Change{changed, gone}, event.TypeDeviceGone},
		{"gone, then changed by age", []inventory.Change{gone, changed}, event.TypeDeviceGone},
		{"gone, then back", []inventory.Change{gone, back}, event.TypeDeviceChanged},
	} {
		at := time.Unix(1_800_000_000, 0)
		cfg := deaf()
		cfg.Inventory.MaxPerMinute = 1
		k, recorder := keeping(t, &at, cfg)
		d := &pb.DeviceInventory{Mac: []string{"00:00:5e:00:53:01"}, Sources: []string{"arp"}}
		_ = k.a.book.Observe(at, k.a.observer, d)
		uid := k.a.book.Find("00:00:5e:00:53:01")[0].GetUid()
		k.minute, k.told = at.Unix()/60, 1 // the minute has no room
		for _, c := range tt.changes {
			c.Device = &pb.DeviceInventory{Uid: uid}
			k.tell(t.Context(), []inventory.Change{c})
		}
		if got := told(t, recorder); len(got) != 0 {
			t.Errorf("%s: told %v at once", tt.name, got)
		}
		k.tellRest(t.Context())
		if got := told(t, recorder); len(got) != 1 || "device."+got[0] != tt.want {
			t.Errorf("%s: told %v, want %s", tt.name, got, tt.want)
		}
	}
}

// TestHalfForWhatWaits: a steady flood does not keep those waiting that came before.
func TestHalfForWhatWaits(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	cfg := deaf()
	cfg.Inventory.MaxPerMinute = 10
	k, recorder := keeping(t, &at, cfg)
	see := func(from, n int) {
		for i := range n {
			k.fold(t.Context(), seen{at: at, device: &pb.DeviceInventory{Mac: []string{fmt.Sprintf("00:00:5e:00:53:%02x", from+i)}, Sources: []string{"arp"}}})
		}
	}
	see(0, 30)
	at = at.Add(time.Minute)
	see(100, 30)
	if got := len(told(t, recorder)); got != 15 || len(k.waiting) != 45 {
		t.Errorf("%d told, %d wait", got, len(k.waiting))
	}
	k.tellWaiting(t.Context())
	if got := len(told(t, recorder)); got != 20 || len(k.waiting) != 40 {
		t.Errorf("%d told, %d wait", got, len(k.waiting))
	}
}

// TestDeviceOfManyWords fits in an event.
func TestDeviceOfManyWords(t *testing.T) {
	text := strings.Repeat("x", 500)
	a := &Agent{}
	for _, tt := range []struct {
		name, text, key string
		ports           int
	}{{"its texts go", text, "SHA256:x", 1024}, {"ports go too", text, text + text, 0}} {
		d := &pb.DeviceInventory{Uid: "mac-00005e005301"}
		for i := range 1024 {
			d.Ports = append(d.Ports, &pb.Port{
				Port: uint32(i + 1), Protocol: "tcp", Banner: tt.text, Title: tt.text, Server: tt.text, CertificateSubject: tt.text,
				CertificateIssuer: tt.text, Remarks: []string{tt.text, tt.text}, HostKey: tt.key,
			})
		}
		ev := a.event(inventory.Change{Type: event.TypeDeviceChanged, Device: d})
		got := ev.GetDevice()
		if n := proto.Size(ev); n > maxTold+4096 || len(got.GetEvidence()) != 1 || len(d.GetPorts()) != 1024 || d.GetPorts()[0].GetBanner() == "" {
			t.Errorf("%s: %d bytes, evidence %q", tt.name, n, got.GetEvidence())
		}
		if n := len(got.GetPorts()); tt.ports > 0 && n != tt.ports || n < 100 {
			t.Errorf("%s: %d ports", tt.name, n)
		}
	}
}

// TestClockJumps: a clock that is far ahead for a while costs no device.
func TestClockJumps(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	k, recorder := keeping(t, &at, deaf())
	passed := time.Hour
	k.a.believed = clock.Open(clock.Options{Readings: clock.Readings{Wall: k.a.now, Passed: func() time.Duration { return passed }, Boot: "x"}})
	k.fold(t.Context(), seen{at: at, device: &pb.DeviceInventory{Mac: []string{"00:00:5e:00:53:01"}, Sources: []string{"arp"}}})
	forward := func(d time.Duration) { at, passed = at.Add(d), passed+d }
	tick := func(want int, when string) {
		t.Helper()
		k.tick(t.Context())
		if n := k.a.book.Len(); n != want {
			t.Errorf("%d devices %s", n, when)
		}
	}
	forward(10 * time.Second)
	tick(1, "at first")
	at = at.Add(400 * 24 * time.Hour)
	tick(1, "when the clock is ahead")
	forward(2 * time.Hour)
	tick(1, "when it is believed") // since no 400 days have passed
	forward(89 * 24 * time.Hour)
	tick(1, "after 89 days")
	forward(2 * 24 * time.Hour)
	tick(0, "after 91 days")
	gone := 0
	for _, kind := range told(t, recorder) {
		if kind == "gone" {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("gone %d times", gone)
	}
}
