package devices

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// benched are how many devices there are. Of 100,000, as many as there may be, each takes
// as much memory.
const benched = 10_000

// filled is an inventory of devices with five ports each.
func filled(b *testing.B) *Inventory {
	b.Helper()
	in, err := New(Options{Source: nowhere{}, Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for i := range benched {
		d := &pb.DeviceInventory{
			Uid: fmt.Sprintf("mac-00005e%06x", i), Ip: []string{fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}, Mac: []string{fmt.Sprintf("00:00:5e:%02x:%02x:%02x", i>>16, i>>8&255, i&255)},
			Hostname: fmt.Sprint("pc-", i), Vendor: "Acme", DeviceClass: "workstation", OsName: "Linux", Sources: []string{"arp", "tcp"},
		}
		for port := range uint32(5) {
			d.Ports = append(d.Ports, &pb.Port{Port: 20 + port, Protocol: "tcp", Service: "ssh", Product: "OpenSSH", Version: "9.6"})
		}
		in.fold(&sighted{at: began, offset: uint64(i), ev: &pb.Event{
			Type: event.TypeDeviceDiscovered, Time: timestamppb.New(began), Observer: &pb.Host{Name: "gate"}, Agent: &pb.Agent{Id: "device_scanner", Kind: kindScanner}, Body: &pb.Event_Device{Device: d},
		}})
	}
	b.Logf("folded in %s", time.Since(began).Round(time.Millisecond))
	return in
}

// BenchmarkInventory asks an inventory for a page that a word finds,
// and for one device, and writes its checkpoint. It reports the memory of all.
func BenchmarkInventory(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	in := filled(b)
	runtime.GC()
	runtime.ReadMemStats(&after)
	ask := func(b *testing.B, filter string) {
		b.Helper()
		for b.Loop() {
			if resp, err := in.ListDevices(context.Background(), &pb.ListDevicesRequest{Filter: filter}); err != nil || len(resp.GetDevices()) == 0 {
				b.Fatal(len(resp.GetDevices()), err)
			}
		}
	}
	b.Run("list", func(b *testing.B) {
		ask(b, "")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benched, "B/device")
	})
	b.Run("word", func(b *testing.B) { ask(b, "pc-77 port:22") })
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, err := in.FindDevice(context.Background(), &pb.FindDeviceRequest{Text: "10.0.7.7"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("checkpoint", func(b *testing.B) {
		for b.Loop() {
			if _, err := in.write(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
