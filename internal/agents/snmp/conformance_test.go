package snmp

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/snmp/place"
	"github.com/amoskys/amoskys/internal/snmp/play"
)

// TestConformanceOfDevices polls every recording of the corpus twice, as a device: each
// gives a reading that a hub takes, and one that says where its tables could not be read
// says so. It needs the folder that CORPORA names.
func TestConformanceOfDevices(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	files, err := filepath.Glob(filepath.Join(corpora, "snmprec", "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s", corpora)
	}
	l := prepare(t, t.TempDir(), "snmp: {community: public}\ntraps: {listen: ''}\n")
	largest, placed := 0, 0
	for i, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		record, err := play.Parse(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		d, _ := l.book.add(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 161), "")
		for range 2 {
			now := l.o.Now()
			r, err := l.readWith(t.Context(), d, record, now)
			if err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
				break
			}
			r.where = place.Read(t.Context(), record, nil)
			placed += len(r.where.Forwards)
			events := l.settle(d, r, now, now)
			for _, ev := range events {
				largest = max(largest, proto.Size(ev))
			}
			if err := l.rec.Publish(t.Context(), events...); err != nil {
				t.Fatal(err)
			}
		}
		d.mu.Lock()
		d.failures = 1 // so that another recording of the same device is one of its own
		d.mu.Unlock()
	}
	if faults := l.rec.Faults(); len(faults) > 0 {
		t.Errorf("%d events that a hub would refuse, such as %v", len(faults), faults[0])
	}
	readings := len(agenttest.OfType(l.rec.Events(), event.TypeSNMPReading))
	moves := l.plugs.step(l.o.Now())
	t.Logf("%d recordings, %d readings, the largest event has %d bytes, %d entries of forwarding tables, %d places", len(files), readings, largest, placed, len(moves))
}
