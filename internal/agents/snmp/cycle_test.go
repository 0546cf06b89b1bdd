package snmp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// switchOf is a recording of a switch with so many ports, told from others by its number.
func switchOf(number, ports int) string {
	var b strings.Builder
	line := func(oid, tag, format string, args ...any) {
		fmt.Fprintf(&b, "1.3.6.1.2.1.%s|%s|%s\n", oid, tag, fmt.Sprintf(format, args...))
	}
	line("1.1.0", "4", "Test switch, version 1.2")
	line("1.2.0", "6", "1.3.6.1.4.1.9.1.1208")
	line("1.3.0", "67", "360000")
	line("1.5.0", "4", "switch-%d", number)
	for i := 1; i <= ports; i++ {
		line(fmt.Sprintf("2.2.1.2.%d", i), "4", "GigabitEthernet0/%d", i)
		line(fmt.Sprintf("2.2.1.3.%d", i), "2", "6")
		line(fmt.Sprintf("2.2.1.5.%d", i), "66", "1000000000")
		line(fmt.Sprintf("2.2.1.6.%d", i), "4x", "00005e%02x%02x%02x", byte(number>>8), byte(number), byte(i))
		line(fmt.Sprintf("2.2.1.7.%d", i), "2", "1")
		line(fmt.Sprintf("2.2.1.8.%d", i), "2", "1")
		for _, c := range []int{10, 11, 13, 14, 16, 17, 19, 20} {
			line(fmt.Sprintf("2.2.1.%d.%d", c, i), "65", "%d", 1000*c+i)
		}
		line(fmt.Sprintf("31.1.1.1.1.%d", i), "4", "Gi0/%d", i)
		for _, c := range []int{6, 7, 10, 11} {
			line(fmt.Sprintf("31.1.1.1.%d.%d", c, i), "70", "%d", 100_000_000_000*uint64(c)+uint64(i))
		}
		line(fmt.Sprintf("31.1.1.1.15.%d", i), "66", "1000")
		line(fmt.Sprintf("31.1.1.1.18.%d", i), "4", "desk %d", i)
		line(fmt.Sprintf("31.1.1.1.19.%d", i), "67", "0")
	}
	return b.String()
}

// sinkPublisher encodes nothing and keeps nothing.
type sinkPublisher struct{}

func (sinkPublisher) Publish(ctx context.Context, _ ...*pb.Event) error { return ctx.Err() }

// BenchmarkCycle polls 200 switches of 48 ports once each: the responder is in the same
// process.
func BenchmarkCycle(b *testing.B) {
	const devices = 200
	list := make([]*play.Device, devices)
	var targets []string
	for i := range list {
		addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		list[i] = play.NewDevice("opensesame", snmptest.Load(b, switchOf(i, 48)))
		list[i].Addr = addr
	}
	_, at := snmptest.Start(b, list...)
	for i := range list {
		targets = append(targets, "'"+netip.AddrPortFrom(list[i].Addr, at.Port()).String()+"'")
	}
	l := prepare(b, b.TempDir(), "snmp: {community: opensesame, targets: ["+strings.Join(targets, ", ")+"]}\nplaces: {enabled: false}\n")
	l.o.Publisher = sinkPublisher{}
	all := l.book.all()
	poll := func() {
		for _, d := range all {
			l.poll(b.Context(), d)
			if d.fault != "" {
				b.Fatal(d.fault)
			}
		}
	}
	began := time.Now()
	poll() // the inventory
	b.ReportMetric(time.Since(began).Seconds()/devices, "s/inventory")
	for b.Loop() {
		poll()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/devices, "s/device")
}
