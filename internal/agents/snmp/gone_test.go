package snmp

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// hasty is the configuration of an agent that waits for no answer long.
func hasty(at netip.AddrPort) string {
	return "snmp: {targets: ['" + at.String() + "'], community: opensesame}\npolling: {timeout_seconds: 0.05, retries: 0}\n" +
		"places: {enabled: false}\ntraps: {listen: ''}\n"
}

// TestGone: a device that is silent is told as gone once, over a restart too, and as returned
// when it is back; one that refuses the credential is there.
func TestGone(t *testing.T) {
	t.Parallel()
	d := play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch))
	_, at := snmptest.Start(t, d)
	dir := t.TempDir()
	l := prepare(t, dir, hasty(at))
	of := func(l *lab, typ string) []*pb.Event { return agenttest.OfType(l.rec.Events(), typ) }
	poll := func(l *lab) { l.poll(t.Context(), l.book.all()[0]) }
	poll(l)
	d.Break(play.Faults{DropEvery: 1})
	for range failuresAway - 1 {
		poll(l)
	}
	if told := of(l, event.TypeDeviceGone); len(told) > 0 {
		t.Errorf("gone too early: %v", told)
	}
	poll(l)
	poll(l)
	gone := of(l, event.TypeDeviceGone)
	if len(gone) != 1 || gone[0].GetDevice().GetHostname() != "edge-1" || gone[0].GetDevice().GetUid() != "mac-00005e005301" || gone[0].GetAbout().GetName() != "edge-1" {
		t.Fatalf("gone: %v", gone)
	}
	l.keep()
	again := prepare(t, dir, hasty(at))
	for range failuresAway + 1 {
		poll(again)
	}
	if told := of(again, event.TypeDeviceGone); len(told) > 0 {
		t.Errorf("gone again after a restart: %v", told)
	}
	d.Break(play.Faults{})
	for _, l := range []*lab{l, again} {
		before := len(of(l, event.TypeDeviceChanged))
		poll(l)
		poll(l)
		back := of(l, event.TypeDeviceChanged)[before:]
		if len(back) != 1 || !slices.Contains(back[0].GetDevice().GetChanged(), attributeReturned) || back[0].GetDevice().GetUid() != "mac-00005e005301" {
			t.Errorf("back: %v", back)
		}
	}
	known := l.book.all()[0]
	for range failuresAway + 1 {
		l.failed(t.Context(), known, time.Now(), snmp.ErrPassword)
	}
	l.failed(t.Context(), known, time.Now(), snmp.ErrTimeout)
	l.failed(t.Context(), known, time.Now(), errResting)
	if told := of(l, event.TypeDeviceGone); len(told) != 1 || known.Gone {
		t.Errorf("a device that refuses a password is gone: %v", told)
	}
	for range failuresAway - 1 {
		l.failed(t.Context(), known, time.Now(), snmp.ErrTimeout)
	}
	if told := of(l, event.TypeDeviceGone); len(told) != 2 || !known.Gone {
		t.Errorf("one that refused, and is silent since, is not gone: %v", told)
	}
	before := len(of(l, event.TypeDeviceChanged))
	for range 2 {
		l.failed(t.Context(), known, time.Now(), snmp.ErrUser)
	}
	back := of(l, event.TypeDeviceChanged)[before:]
	if known.Gone || len(back) != 1 || !slices.Equal(back[0].GetDevice().GetChanged(), []string{attributeReturned}) {
		t.Errorf("one that was gone and refuses is told as %v", back)
	}
	if faults := append(l.rec.Faults(), again.rec.Faults()...); len(faults) > 0 {
		t.Errorf("a hub would refuse: %v", faults)
	}
}

// TestNamesOfTargets: a target that gets another address is polled there, as the same device;
// a name that is not found keeps its address.
func TestNamesOfTargets(t *testing.T) {
	t.Parallel()
	first, second := play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch)), play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch))
	first.Addr, second.Addr = netip.MustParseAddr("127.0.4.1"), netip.MustParseAddr("127.0.4.2")
	_, at := snmptest.Start(t, first, second)
	target := netip.AddrPortFrom(first.Addr, at.Port())
	l := prepare(t, t.TempDir(), "snmp: {targets: ['edge.example.test:"+number32(uint32(at.Port()))+"'], exclude: [127.0.4.9], community: opensesame}\n"+
		"polling: {timeout_seconds: 1}\nplaces: {enabled: false}\ntraps: {listen: ''}\n")
	now := time.Now()
	l.o.Now = func() time.Time { return now }
	var found []netip.Addr
	var failure error
	asked := 0
	l.search.lookup = func(context.Context, string) ([]netip.Addr, error) { asked++; return found, failure }
	step := func(after, wait time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		got := l.search.resolve(t.Context())
		list := ""
		for _, d := range l.book.all() {
			list += d.at.Addr().String()
		}
		if list != want || got != wait {
			t.Errorf("polled at %q, looked up after %s; want %q, %s", list, got, want, wait)
		}
	}
	failure = errors.New("no such host")
	step(0, lookupFailed, "")
	found, failure = []netip.Addr{first.Addr}, nil
	step(lookupFailed, lookupWell, "127.0.4.1")
	l.poll(t.Context(), l.book.at(target))
	uid := l.book.at(target).UID
	found = []netip.Addr{second.Addr, first.Addr} // in any order
	step(lookupWell, lookupWell, "127.0.4.1")
	failure = errors.New("the resolver is away")
	step(lookupWell, lookupWell, "127.0.4.1")
	found, failure = []netip.Addr{second.Addr}, nil
	before := asked
	step(time.Second, lookupWell-time.Second, "127.0.4.1")
	if asked != before {
		t.Error("it was looked up before its time")
	}
	l.failed(t.Context(), l.book.at(target), now, snmp.ErrTimeout)
	step(lookupFailed, lookupWell, "127.0.4.2")
	moved := l.book.all()[0]
	if uid == "" || moved.UID != uid || moved.target == "" {
		t.Errorf("%q became %+v", uid, moved.kept)
	}
	l.poll(t.Context(), moved)
	if n := len(agenttest.OfType(l.rec.Events(), event.TypeDeviceDiscovered)); n != 1 {
		t.Errorf("%d devices were discovered", n)
	}
	if ev := agenttest.OfType(l.rec.Events(), event.TypeDeviceChanged); len(ev) != 1 || !slices.Contains(ev[0].GetDevice().GetChanged(), "ip") {
		t.Errorf("told as %v", ev)
	}
	found = []netip.Addr{netip.MustParseAddr("127.0.4.9")}
	step(lookupWell, lookupFailed, "")
}

// TestNameOfAnother: a target whose name is of another device from now on is that one, also
// where not all of it could be read; where the device only moved it stays what it was.
func TestNameOfAnother(t *testing.T) {
	t.Parallel()
	first := play.NewDevice("opensesame", snmptest.Load(t, edgeSwitch))
	_, at := snmptest.Start(t, first)
	elsewhere := netip.AddrPortFrom(netip.MustParseAddr("127.0.4.7"), at.Port())
	for name, want := range map[string]bool{"edge-1": true, "another": false} {
		l := prepare(t, t.TempDir(), hasty(at))
		known := l.book.all()[0]
		l.poll(t.Context(), known)
		uid := known.UID
		if !l.book.move(at, elsewhere, "edge.example.test", false) {
			t.Fatal("there is no room")
		}
		moved := l.book.at(elsewhere)
		part := result{reading: &pb.SnmpReading{SysName: name, Incomplete: []string{"ifTable: no answer"}}}
		l.identify(moved, &part, time.Now())
		if same := moved.UID == uid && !moved.FirstSeen.IsZero(); same != want {
			t.Errorf("%s: %q became %q, first seen %v", name, uid, moved.UID, moved.FirstSeen)
		}
	}
}

// TestBetweenInventories: sensors and the power of ports are read again before the next whole
// reading, and what is no interface is in neither readings nor metrics.
func TestBetweenInventories(t *testing.T) {
	t.Parallel()
	const more = `1.3.6.1.2.1.47.1.1.1.1.5.1|2|8
1.3.6.1.2.1.47.1.1.1.1.7.1|4|Inlet
1.3.6.1.2.1.99.1.1.1.1.1|2|8
1.3.6.1.2.1.99.1.1.1.2.1|2|9
1.3.6.1.2.1.99.1.1.1.3.1|2|0
1.3.6.1.2.1.99.1.1.1.4.1|2|31
1.3.6.1.2.1.99.1.1.1.5.1|2|1
1.3.6.1.4.1.11.2.14.11.1.9.1.1.1.3.1.1|2|1800
`
	base := func(pairs ...string) *play.Record {
		return snmptest.Load(t, strings.NewReplacer(pairs...).Replace(edgeSwitch+more))
	}
	object := []string{"1.3.6.1.4.1.8072.3.2.10", "1.3.6.1.4.1.11.2.3.7.11.1", "2.1.8.2|2|2", "2.1.8.2|2|6"}
	d := play.NewDevice("opensesame", base(object...))
	_, at := snmptest.Start(t, d)
	l := prepare(t, t.TempDir(), hasty(at))
	now := time.Now()
	l.o.Now = func() time.Time { return now }
	known := l.book.all()[0]
	last := func() *pb.SnmpReading {
		l.poll(t.Context(), known)
		all := agenttest.OfType(l.rec.Events(), event.TypeSNMPReading)
		return all[len(all)-1].GetSnmp()
	}
	check := func(r *pb.SnmpReading, celsius, watts float64) {
		t.Helper()
		if s := r.GetSensors(); len(s) != 1 || s[0].GetName() != "Inlet" || s[0].GetValue() != celsius {
			t.Errorf("sensors %v, want %v", s, celsius)
		}
		ports := r.GetInterfaces()
		if len(ports) != 2 || ports[0].GetName() != "Gi1" || ports[1].GetName() != "Gi24" {
			t.Fatalf("interfaces %v", ports)
		}
		if got := ports[0].GetPoeWatts(); got < watts-0.001 || got > watts+0.001 {
			t.Errorf("Gi1 gives %v, want %v", got, watts)
		}
	}
	check(last(), 31, 1.8)
	d.Replay(base(append(object, "99.1.1.1.4.1|2|31", "99.1.1.1.4.1|2|42", "|1800", "|2900")...))
	now = now.Add(time.Minute)
	check(last(), 31, 1.8)
	now = now.Add(5 * time.Minute)
	check(last(), 42, 2.9)
	d.Break(play.Faults{SilentBelow: "1.3.6.1.2.1.99"})
	now = now.Add(5 * time.Minute)
	if r := last(); len(r.GetSensors()) != 1 || len(r.GetIncomplete()) == 0 {
		t.Errorf("a table that fails takes what was known: %v", r)
	}
}

// TestNamesInEvents: traps, their values and models have the names of MIB files.
func TestNamesInEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "mibs"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "ACME-MIB DEFINITIONS ::= BEGIN acme OBJECT IDENTIFIER ::= { enterprises 99999 } acmeSwitch9 OBJECT IDENTIFIER ::= { acme 1 9 }\n" +
		"fanSpeed OBJECT-TYPE SYNTAX INTEGER ::= { acme 2 } fanFailed NOTIFICATION-TYPE ::= { acme 0 1 } END"
	if err := os.WriteFile(filepath.Join(dir, "mibs", "acme.mib"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, at := snmptest.Start(t, play.NewDevice("opensesame", change(t, "1.3.6.1.4.1.8072.3.2.10", "1.3.6.1.4.1.99999.1.9")))
	l := prepare(t, dir, "snmp: {targets: ['"+at.String()+"'], community: opensesame, mibs: mibs}\nplaces: {enabled: false}\ntraps: {listen: ''}\n")
	l.poll(t.Context(), l.book.all()[0])
	if r := agenttest.OfType(l.rec.Events(), event.TypeSNMPReading)[0].GetSnmp(); r.GetHardware() != "acmeSwitch9" {
		t.Errorf("hardware %q", r.GetHardware())
	}
	l.tellTraps(t.Context(), []received{{at: time.Now(), from: netip.MustParseAddr("192.0.2.1"), Trap: trap.Trap{
		OID: "1.3.6.1.4.1.99999.0.1", Values: []trap.Value{
			{OID: "1.3.6.1.4.1.99999.2.0", Type: snmp.Integer, Text: "0"},
			{OID: oidIfIndex + ".7", Type: snmp.Integer, Text: "7"},
			{OID: "1.3.6.1.4.1.88888.1", Type: snmp.ObjectID, Text: "1.3.6.1.6.3.1.1.5.3"},
		},
	}}})
	ev := agenttest.OfType(l.rec.Events(), event.TypeSNMPTrap)[0].GetSnmp()
	want := []string{"ACME-MIB::fanSpeed.0=0", "IF-MIB::ifIndex.7=7", "1.3.6.1.4.1.88888.1=IF-MIB::linkDown"}
	if ev.GetTrapName() != "fanFailed" || !slices.Equal(ev.GetTrapValues(), want) {
		t.Errorf("trap %q with %q", ev.GetTrapName(), ev.GetTrapValues())
	}
}
