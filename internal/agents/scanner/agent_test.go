package scanner

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/hear"
)

func TestTemplateIsTheDefault(t *testing.T) {
	got := Config{}
	if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	for _, list := range []*[]string{&want.Discovery.Subnets, &want.Discovery.Exclude, &want.Findings.Disabled, &want.Findings.DHCPServers, &want.Findings.TrustedMACs, &want.Exposure.Disabled} {
		*list = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestConformance hears requests of DHCP that it sends to itself over loopback, and scans
// nothing but two ports there.
func TestConformance(t *testing.T) {
	sources, err := capture.Open(capture.Options{Interface: "lo", Blocks: 2})
	if err != nil {
		t.Skipf("needs to capture from loopback: %v", err)
	}
	for _, s := range sources {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	clients(t)
	agenttest.Suite{
		Definition: Definition(),
		Config: "agent: {interval_seconds: 0.5}\nhear: {interfaces: [lo]}\ninventory: {gone_after_hours: 0.01}\n" +
			"discovery: {subnets: [127.0.0.1], port_range: '1-2', methods: {fingerprinting: false}, names: false}",
		Types: []string{event.TypeDeviceDiscovered, event.TypeDeviceChanged},
		Metrics: []string{
			"device_count", "device_up", "device_open_ports", "device_last_seen_timestamp_seconds",
			"amoskys_scanner_dropped_total", "amoskys_scanner_delayed_total", "amoskys_scanner_kernel_drops_total", "amoskys_scanner_inventory_total",
		},
		Decoders: []agenttest.Decoder{{
			Name: "/proc/net/route", Seeds: []string{"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n" + "eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"},
			Decode: func(b []byte) { _ = readRoutes(strings.NewReader(string(b))) },
		}, {
			Name: "a frame", Seeds: []string{"\xff\xff\xff\xff\xff\xff\x00\x00\x5e\x00\x53\x01\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x00\x00\x5e\x00\x53\x01\xc0\x00\x02\x01\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x02"},
			Decode: func(b []byte) {
				l := hear.New(hear.Options{Device: func(time.Time, *pb.DeviceInventory) {}, Finding: func(*pb.Event) {}, Config: hear.DefaultConfig()})
				l.Frame(&packet.Frame{Time: int64(time.Hour), Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet})
			},
		}},
	}.Run(t)
}

// clients sends, until the test ends, what DHCP clients would: one whose name changes, and
// ever new ones.
func clients(t *testing.T) {
	t.Helper()
	to, err := net.Dial("udp4", "127.0.0.1:67")
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
		_ = to.Close()
		goleak.VerifyNone(t)
	})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			_, _ = to.Write(request([6]byte{0, 0, 0x5e, 0, 0x53, 1}, [4]byte{192, 0, 2, byte(n%200 + 1)}))
			_, _ = to.Write(request([6]byte{0, 0, 0x5e, 0, 0x54, byte(n)}, [4]byte{198, 51, 100, byte(n%200 + 1)}))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
}

// request is that of a client of DHCP which has an address.
func request(mac [6]byte, ip [4]byte) []byte {
	b := make([]byte, 236)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[12:], ip[:])
	copy(b[28:], mac[:])
	b = binary.BigEndian.AppendUint32(b, 0x63825363)
	return append(b, 53, 1, 3, 12, 4, 'd', 'e', 's', 'k', 255)
}

// quiet are the options of an agent in a folder.
func quiet(t *testing.T, dir string, p agent.Publisher) agent.Options {
	t.Helper()
	return agent.Options{
		ID: defaultID, Kind: "scanner", Host: "gate", Interval: time.Minute, Logger: obs.Discard(), Registerer: prometheus.NewRegistry(),
		DataDir: dir, Publisher: p, Condition: func(string, error) {}, Note: func(string, string) {}, Now: time.Now,
	}
}

func deaf() Config {
	cfg := DefaultConfig()
	cfg.Hear.Interfaces = nil
	return cfg
}

// run runs an agent until the returned function is called.
func run(t *testing.T, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestSendsNothingByDefault(t *testing.T) {
	notes := map[string]string{}
	o := quiet(t, t.TempDir(), agenttest.NewRecorder())
	o.Note = func(name, text string) { notes[name] = text }
	a, err := New(deaf(), o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)()
	if !strings.Contains(notes["discovery"], "sends nothing") {
		t.Errorf("notes %v", notes)
	}
}

// TestRemembers: after a restart devices are known, and told again as a refresh; a damaged
// inventory costs itself alone.
func TestRemembers(t *testing.T) {
	dir := t.TempDir()
	see := func() *agenttest.Recorder {
		recorder := agenttest.NewRecorder()
		a, err := New(deaf(), quiet(t, dir, recorder))
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, a)
		a.hear(time.Now(), &pb.DeviceInventory{Mac: []string{"00:00:5e:00:53:01"}, Ip: []string{"192.0.2.1"}, Sources: []string{"arp"}})
		recorder.Wait(t, 10*time.Second, "an event", func(events []*pb.Event) bool { return len(events) > 0 })
		stop()
		return recorder
	}
	see()
	var told []*pb.Event
	see().Wait(t, time.Second, "a refresh", func(events []*pb.Event) bool { told = events; return true })
	if len(told) != 1 || told[0].GetType() != event.TypeDeviceChanged || !cmp.Equal(told[0].GetDevice().GetChanged(), []string{"refresh"}) ||
		told[0].GetAbout().GetUid() != "mac-00005e005301" {
		t.Errorf("events %v", told)
	}
	if err := os.WriteFile(filepath.Join(dir, "devices.book"), []byte("AMDEVICE?"), 0o600); err != nil {
		t.Fatal(err)
	}
	see().Wait(t, time.Second, "a discovery", func(events []*pb.Event) bool {
		return len(agenttest.OfType(events, event.TypeDeviceDiscovered)) == 1
	})
	if _, err := os.Stat(filepath.Join(dir, "devices.book.damaged")); err != nil {
		t.Error(err)
	}
}

// TestKnownServers: what was learnt of DHCP servers is known after a restart, in the form
// of before too.
func TestKnownServers(t *testing.T) {
	dir := t.TempDir()
	server := hear.Server{MAC: "00:00:5e:00:53:01", IP: "192.0.2.1", Last: 7}
	agent := func() *Agent {
		cfg := deaf()
		cfg.Hear.Interfaces = []string{"none0"}
		a, err := New(cfg, quiet(t, dir, agenttest.NewRecorder()))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := agent()
	a.ears[0].servers = dhcpServers{LearnUntil: 100, Servers: []hear.Server{server}}
	if err := a.saveServers(); err != nil {
		t.Fatal(err)
	}
	if got := agent().knownServers(); got.LearnUntil != 100 || !cmp.Equal(got.Servers, []hear.Server{server}) {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(a.serversFile(), []byte(`[{"mac":"00:00:5e:00:53:01","ip":"192.0.2.1","last":7}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := agent().knownServers(); got.LearnUntil != 0 || !cmp.Equal(got.Servers, []hear.Server{server}) {
		t.Errorf("%+v", got)
	}
}

// TestFlood: of a flood of new devices no more are told in a minute than may be, those of
// the rest that are still known at the end, and what is heard too fast is counted.
func TestFlood(t *testing.T) {
	cfg := deaf()
	cfg.Inventory.MaxPerMinute, cfg.Inventory.MaxDevices = 20, 100
	recorder := agenttest.NewRecorder()
	a, err := New(cfg, quiet(t, t.TempDir(), recorder))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHeard + 10 {
		mac := net.HardwareAddr{2, 0, 0x5e, 0, byte(i >> 8), byte(i)}
		a.hear(time.Now(), &pb.DeviceInventory{Mac: []string{mac.String()}, Sources: []string{"arp"}})
	}
	run(t, a)()
	told, fresh := 0, 0
	recorder.Wait(t, time.Second, "events", func(events []*pb.Event) bool {
		told, fresh = len(events), len(agenttest.OfType(events, event.TypeDeviceDiscovered))
		return true
	})
	if told < 20 || fresh != told || told > 100+40 { // the minute may end meanwhile
		t.Errorf("%d events, %d of new devices", told, fresh)
	}
	if a.book.Len() != 100 {
		t.Errorf("%d devices", a.book.Len())
	}
}

func TestTasksStayWithinLimits(t *testing.T) {
	cfg := deaf()
	cfg.Discovery.Subnets, cfg.Discovery.Exclude = []string{"192.0.2.0/28"}, []string{"192.0.2.3"}
	a, err := New(cfg, quiet(t, t.TempDir(), agenttest.NewRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ targets, ports, want string }{
		{"", "", ""},
		{"192.0.2.1-5", "22,80", ""},
		{"192.0.2.1, 192.0.2.2", "", ""},
		{"198.51.100.1", "", "not in discovery.subnets"},
		{"10.0.0.0/8", "", "discovery.max_addresses"},
		{"x", "", "x"},
		{"", "70000", "70000"},
	} {
		plan, err := a.taskPlan(tt.targets, tt.ports)
		if tt.want == "" && (err != nil || !plan.Exclude.Contains(netip.MustParseAddr("192.0.2.3"))) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q, ports %q: error %v", tt.targets, tt.ports, err)
		}
	}
	shut := deaf()
	shut.Discovery.Subnets, shut.Discovery.Methods.PortScan = []string{"192.0.2.0/28"}, false
	c, err := New(shut, quiet(t, t.TempDir(), agenttest.NewRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.taskPlan("", "22"); err == nil || !strings.Contains(err.Error(), "discovery.methods.port_scan") {
		t.Errorf("ports although none are scanned: %v", err)
	}
	if plan, err := c.taskPlan("", ""); err != nil || len(plan.Ports) > 0 {
		t.Errorf("hosts alone: ports %v, error %v", plan.Ports, err)
	}
	open := deaf()
	b, err := New(open, quiet(t, t.TempDir(), agenttest.NewRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.taskPlan("8.8.8.8", ""); err == nil {
		t.Error("a public address is scanned")
	}
	if _, err := b.taskPlan("", ""); err == nil {
		t.Error("nothing to scan is scanned")
	}
	call := task.NewCall(taskForget, task.Values{}, nil, nil)
	if err := b.RunTask(t.Context(), call); err == nil || errors.Is(err, errBusy) {
		t.Errorf("error %v", err)
	}
}

func TestGateways(t *testing.T) {
	got := readRoutes(strings.NewReader("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"))
	if len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.254") {
		t.Errorf("gateways %v", got)
	}
}
