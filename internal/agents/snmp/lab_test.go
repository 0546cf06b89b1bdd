package snmp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// lab is an agent that runs against devices on loopback.
type lab struct {
	*Agent
	rec  *agenttest.Recorder
	stop func()
}

// start runs an agent with its data in dir until the test ends or stop is called.
func start(t *testing.T, dir, yaml string) *lab {
	t.Helper()
	l := prepare(t, dir, yaml)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stopped := false
	l.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if faults := l.rec.Faults(); len(faults) > 0 {
			t.Errorf("a hub would refuse: %v", faults)
		}
	}
	t.Cleanup(l.stop)
	return l
}

func prepare(t testing.TB, dir, yaml string) *lab {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := Definition().Load(file, config.DecodeOptions{Env: config.NoEnv})
	if err != nil {
		t.Fatal(err)
	}
	rec := agenttest.NewRecorderOf("snmp")
	a, err := New(loaded.Config.(Config), agent.Options{
		ID: defaultID, Kind: "snmp", Host: "host.example.test", HostID: "0", Interval: loaded.Common.Interval(), Logger: obs.Discard(),
		Registerer: prometheus.NewPedanticRegistry(), Home: config.Home(dir), DataDir: dir, Publisher: rec,
		Condition: func(string, error) {}, Note: func(string, string) {}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{Agent: a, rec: rec, stop: func() {}}
}

// wait returns the first event of a type for which ok holds.
func (l *lab) wait(t *testing.T, typ string, ok func(*pb.Event) bool) *pb.Event {
	t.Helper()
	var got *pb.Event
	l.rec.Wait(t, 10*time.Second, typ, func(all []*pb.Event) bool {
		for _, ev := range agenttest.OfType(all, typ) {
			if ok(ev) {
				got = ev
				return true
			}
		}
		return false
	})
	return got
}

func whatever(*pb.Event) bool { return true }

// change is the recording of the switch with some lines in place of others.
func change(t *testing.T, pairs ...string) *play.Record {
	t.Helper()
	return snmptest.Load(t, strings.NewReplacer(pairs...).Replace(edgeSwitch))
}

// TestLife: a device is found out about, read with rates, seen to lose a link and to
// reboot.
func TestLife(t *testing.T) {
	d := play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch))
	_, at := snmptest.Start(t, d)
	before := goleak.IgnoreCurrent()
	l := start(t, t.TempDir(), starting(at))
	inv := l.wait(t, event.TypeDeviceDiscovered, whatever)
	body := inv.GetDevice()
	if body.GetHostname() != "edge-1" || body.GetUid() != "mac-00005e005301" || inv.GetAbout().GetUid() != body.GetUid() {
		t.Errorf("discovered %v", inv)
	}
	first := l.wait(t, event.TypeSNMPReading, whatever).GetSnmp()
	if got := first.GetInterfaces()[0]; got.GetName() != "Gi1" || got.GetAlias() != "desk 7" || got.GetOperStatus() != "up" || got.GetBytesIn() != 10_000_000_000 || got.GetErrorsOut() != 4 || got.GetBytesInPerSecond() != 0 {
		t.Errorf("first reading of Gi1 %v", got)
	}
	if got := first.GetInterfaces()[2]; got.GetSpeedBps() != 10_000_000_000 || got.GetBytesIn() != 4294967000 {
		t.Errorf("first reading of Gi24 %v", got)
	}
	// Gi1 counts on, Gi24 wraps, Gi2 comes up.
	d.Replay(change(t, "1.6.1|70|10000000000", "1.6.1|70|10000060000", ".10.24|65|4294967000", ".10.24|65|5000", "2.1.8.2|2|2", "2.1.8.2|2|1"))
	moved := l.wait(t, event.TypeSNMPReading, func(ev *pb.Event) bool { return ev.GetSnmp().GetInterfaces()[0].GetBytesInPerSecond() > 0 }).GetSnmp()
	if got := moved.GetInterfaces()[2].GetBytesInPerSecond(); got <= 0 {
		t.Errorf("a wrapped counter has the rate %v", got)
	}
	if ev := l.wait(t, event.TypeSNMPInterfaceUp, whatever); ev.GetSnmp().GetInterfaces()[0].GetName() != "Gi2" {
		t.Errorf("up %v", ev)
	}
	d.Replay(change(t, "67|360000", "67|100", "1.6.1|70|10000000000", "1.6.1|70|5"))
	if ev := l.wait(t, event.TypeSNMPReboot, whatever); ev.GetSnmp().GetUptime().AsDuration() != time.Second {
		t.Errorf("reboot %v", ev)
	}
	l.wait(t, event.TypeSNMPInterfaceDown, whatever)
	l.stop()
	goleak.VerifyNone(t, before)
}

// TestWhere: who is behind two switches is at the one nearest to him, and his move is
// told.
func TestWhere(t *testing.T) {
	core := strings.NewReplacer("edge-1", "core", "00005e0053", "00005e0054", "0.0.94.0.83.0|", "0.0.94.0.84.0|").Replace(edgeSwitch) +
		"1.3.6.1.2.1.17.7.1.2.2.1.2.7.0.0.94.0.83.0|2|3\n1.3.6.1.2.1.17.7.1.2.2.1.3.7.0.0.94.0.83.0|2|3\n"
	core = strings.NewReplacer("83.17|2|1", "83.17|2|3", "83.18|2|2", "83.18|2|3").Replace(core) // both are behind the edge
	edge, hub := play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch)), play.NewDevice("opensesame", snmptest.Load(t, core))
	_, edgeAt := snmptest.Start(t, edge)
	_, coreAt := snmptest.Start(t, hub)
	dir := t.TempDir()
	yaml := starting(edgeAt)
	yaml = strings.Replace(yaml, "'], community", "', '"+coreAt.String()+"'], community", 1)
	l := start(t, dir, yaml)
	of := func(mac string) func(*pb.Event) bool {
		return func(ev *pb.Event) bool { return ev.GetDevice().GetMac()[0] == mac }
	}
	ev := l.wait(t, event.TypeDeviceMoved, of("00:00:5e:00:53:11"))
	if p := ev.GetDevice().GetPlugged(); len(p) != 1 || p[0].GetDeviceName() != "edge-1" || p[0].GetPort() != "Gi1" || p[0].GetVlan() != 10 || p[0].GetSource() != "fdb" {
		t.Errorf("plugged %v", p)
	}
	if ip := ev.GetDevice().GetIp(); len(ip) != 1 || ip[0] != "192.0.2.17" {
		t.Errorf("addresses %v", ip)
	}
	l.wait(t, event.TypeDeviceMoved, of("00:00:5e:00:53:12"))
	edge.Replay(change(t, "83.17|2|1", "83.17|2|2"))
	moved := l.wait(t, event.TypeDeviceMoved, func(ev *pb.Event) bool { return len(ev.GetDevice().GetPlugged()) == 2 })
	if p := moved.GetDevice().GetPlugged(); p[0].GetPort() != "Gi2" || p[1].GetPort() != "Gi1" || !strings.Contains(moved.GetMessage(), "192.0.2.17") {
		t.Errorf("moved %v", moved)
	}
	l.stop()
	again := start(t, dir, yaml) // what was told is not told again
	again.wait(t, event.TypeDeviceChanged, func(ev *pb.Event) bool { return ev.GetDevice().GetHostname() == "core" })
	again.rec.Wait(t, 5*time.Second, "places", func([]*pb.Event) bool { return again.plugs.stats().Switches == 2 })
	again.stop()
	if told := agenttest.OfType(again.rec.Events(), event.TypeDeviceMoved); len(told) > 0 {
		t.Errorf("told again: %v", told)
	}
	if n := len(agenttest.OfType(again.rec.Events(), event.TypeDeviceDiscovered)); n > 0 {
		t.Errorf("%d devices are discovered again", n)
	}
}

// TestSearch: what a subnet holds is found with the credential that opens it, wrong ones
// are not tried again, and public is a finding.
func TestSearch(t *testing.T) {
	user := monitor()
	secret := play.NewDevice("", snmptest.Load(t, edgeSwitch))
	secret.Users, secret.Addr = []snmp.Credential{user}, netip.MustParseAddr("127.0.3.1")
	plain := play.NewDevice("public", change(t, "edge-1", "open", "00005e0053", "00005e0054"))
	plain.Addr = netip.MustParseAddr("127.0.3.2")
	_, at := snmptest.Start(t, secret, plain)
	yaml := fmt.Sprintf(`agent: {interval_seconds: 0.3}
snmp:
  scan_subnets: [127.0.3.0/29]
  exclude: [127.0.3.4/30]
  port: %d
  communities: [unused]
  v3_credentials: {username: monitor, auth_protocol: SHA256, auth_password: "nottherightone", privacy_protocol: AES, privacy_password: privpassword}
  credentials: [{username: monitor, auth_protocol: SHA-256, auth_password: authpassword, privacy_protocol: AES, privacy_password: privpassword}]
discovery: {rate_per_second: 1000, timeout_seconds: 0.2, retries: 0}
polling: {timeout_seconds: 1}
places: {enabled: false}
traps: {listen: ""}
`, at.Port())
	yaml = strings.Replace(yaml, "SHA-256", "SHA256", 1)
	dir := t.TempDir()
	l := start(t, dir, yaml)
	l.rec.Wait(t, 10*time.Second, "two devices", func(all []*pb.Event) bool { return len(agenttest.OfType(all, event.TypeDeviceDiscovered)) == 2 })
	f := l.wait(t, TypePrefix+findingCommunity, whatever)
	if f.GetAbout().GetName() != "open" || f.GetFinding().GetObservables()["destination.ip"] != "127.0.3.2" {
		t.Errorf("finding %v", f)
	}
	if d := l.book.find("127.0.3.1"); len(d) != 1 || d[0].Credential != "snmp.credentials[0]" || d[0].told.GetEngineId() == "" {
		t.Errorf("found %+v", d)
	}
	if !l.search.trials.rests(netip.AddrPortFrom(secret.Addr, at.Port()), "snmp.v3_credentials", time.Now().Add(20*time.Minute)) {
		t.Error("a wrong password would be tried again at once")
	}
	l.rec.Wait(t, 10*time.Second, "an address that is silent and is not asked again at once", func([]*pb.Event) bool {
		return l.search.isSilent(netip.MustParseAddr("127.0.3.3"), time.Now())
	})
	if l.search.isSilent(netip.MustParseAddr("127.0.3.4"), time.Now()) {
		t.Error("an excluded address was asked")
	}
	l.stop()
	for _, file := range []string{devicesFile} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || strings.Contains(string(b), "password") || !strings.Contains(string(b), "snmp.v3_credentials") {
			t.Errorf("%s: %v %s", file, err, b)
		}
	}
	for _, ev := range l.rec.Events() {
		if text := ev.String(); strings.Contains(text, "authpassword") || strings.Contains(text, "unused") {
			t.Errorf("a secret is in %s", text)
		}
	}
}

// TestTrapToEvent: a trap over UDP becomes an event about the device that sent it, and an
// inform is confirmed; what is no trap is counted, and who sends too many is cut off.
func TestTrapToEvent(t *testing.T) {
	d := play.NewDevice("opensesame", change(t, "2.1.1.2|2|2", "2.1.1.2|2|2"))
	_, at := snmptest.Start(t, d)
	l := prepare(t, t.TempDir(), starting(at))
	opened := make(chan net.Addr, 1)
	l.traps.opened = func(a net.Addr) { opened <- a }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() { cancel(); <-done }()
	l.wait(t, event.TypeSNMPReading, whatever)
	conn, err := net.Dial("udp", (<-opened).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(b []byte) {
		t.Helper()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	send(linkDown(t, gosnmp.InformRequest))
	ev := l.wait(t, event.TypeSNMPTrap, whatever)
	if s := ev.GetSnmp(); s.GetTrapName() != trap.LinkDown || ev.GetAbout().GetName() != "edge-1" || !strings.Contains(ev.GetMessage(), "Gi7 of edge-1 is down") {
		t.Errorf("trap %v", ev)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(answer[:n]); err != nil || p.PDUType != gosnmp.GetResponse || p.RequestID != 5 {
		t.Errorf("confirmed by %v, %v", p, err)
	}
	for range 100 {
		send([]byte("no trap"))
	}
	l.rec.Wait(t, 5*time.Second, "counts", func([]*pb.Event) bool { return true })
	deadline := time.Now().Add(5 * time.Second)
	for l.traps.counts.limited.Load() == 0 && time.Now().Before(deadline) {
		send([]byte("no trap"))
	}
	if c := &l.traps.counts; c.malformed.Load() == 0 || c.limited.Load() == 0 {
		t.Errorf("%d malformed, %d limited", c.malformed.Load(), c.limited.Load())
	}
}

// TestTasks: one device is polled and walked on demand, and nobody else is asked.
func TestTasks(t *testing.T) {
	_, at := snmptest.Start(t, play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch)))
	l := prepare(t, t.TempDir(), starting(at))
	run := func(name string, values task.Values) (string, error) {
		var out strings.Builder
		err := l.RunTask(t.Context(), task.NewCall(name, values, &out, nil))
		return out.String(), err
	}
	out, err := run(taskPoll, task.Values{paramDevice: at.String()})
	if err != nil || !strings.Contains(out, `"snmp.reading"`) || !strings.Contains(out, "edge-1") {
		t.Errorf("poll: %v\n%.300s", err, out)
	}
	out, err = run(taskWalk, task.Values{paramDevice: "edge-1", paramOID: "SNMPv2-MIB::system"})
	if err != nil || !strings.Contains(out, "1.3.6.1.2.1.1.5.0 = OCTET STRING: edge-1\n") {
		t.Errorf("walk: %v\n%s", err, out)
	}
	for _, tt := range []struct{ name, device string }{{taskPoll, "192.0.2.1"}, {taskWalk, "192.0.2.1"}} {
		if _, err := run(tt.name, task.Values{paramDevice: tt.device, paramOID: "1.3"}); err == nil || !strings.Contains(err.Error(), "snmp.targets") {
			t.Errorf("%s of a stranger: %v", tt.name, err)
		}
	}
	if _, err := run(taskDiscover, task.Values{}); err == nil || l.TaskUnavailable(taskDiscover) == "" {
		t.Error("a search without subnets")
	}
}
