package hear

import (
	std "cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// line is a frame some time after the one before, maybe several times at a distance.
type line struct {
	after time.Duration
	frame []byte
	times int
}

// TestFindings has what attackers do, and what looks like it and is none.
func TestFindings(t *testing.T) {
	const gateway = "192.0.2.254"
	none := "00:00:00:00:00:00"
	has := func(mac, ip string) []byte { return arp(t, all, 1, mac, ip, none, "192.0.2.99") }
	tells := func(mac, ip string) []byte { return arp(t, all, 1, mac, ip, none, ip) }
	reply := func(mac, ip string) []byte { return arp(t, macC, 2, mac, ip, macC, "192.0.2.3") }
	lease := func(server, ip, client, assigned, message string) []byte {
		a := netip.MustParseAddr(ip).As4()
		return udp(t, all, server, ip, "255.255.255.255", 67, 68, dhcp(t, 2, client, assigned, option(53, message), option(54, string(a[:]))))
	}
	turns := func(mac1, mac2, ip string) []line {
		return []line{{frame: has(mac1, ip)}, {frame: has(mac2, ip)}, {frame: has(mac1, ip)}, {frame: has(mac2, ip)}}
	}
	tests := []struct {
		name  string
		cfg   func(*Config)
		same  bool
		lines []line
		want  []string
	}{
		{"two hosts at one address", nil, false, turns(macA, macB, "192.0.2.1"), []string{DuplicateAddress}},
		{"the address of a router, in turns", nil, false, turns(macA, macB, gateway), []string{ARPSpoofing}},
		{"a router's address claimed unasked for long, while the router is silent", nil, false, []line{{frame: has(macA, gateway)}, {frame: reply(macB, gateway), after: 2 * time.Second, times: 15}}, []string{ARPSpoofing}},
		{
			"one host claims many", nil, false,
			slices.Concat(turns(macA, macB, "192.0.2.1"), turns(macC, macB, "192.0.2.2"), turns("00:00:5e:00:53:0d", macB, "192.0.2.4")),
			[]string{DuplicateAddress, DuplicateAddress, ARPSpoofing},
		},
		{"another card of the same host (bonding)", nil, true, turns(macA, macB, "192.0.2.1"), nil},
		{"a host that fails over and tells so", nil, false, []line{{frame: has(macA, gateway)}, {frame: tells(macB, gateway), after: time.Second, times: 5}, {frame: has(macB, gateway), after: time.Minute, times: 5}}, nil},
		{"VRRP", nil, false, turns("00:00:5e:00:01:01", macB, gateway), nil},
		{"HSRP", nil, false, turns("00:00:0c:07:ac:01", macB, gateway), nil},
		{"hosts that may", func(c *Config) { c.TrustedMACs = []string{macB} }, false, turns(macA, macB, gateway), nil},
		{"a kind that is not wanted", func(c *Config) { c.Disabled = []string{DuplicateAddress} }, false, turns(macA, macB, "192.0.2.1"), nil},
		{
			"an address that DHCP gave to another", nil, false,
			[]line{{frame: has(macA, "192.0.2.1")}, {frame: lease(macC, gateway, macB, "192.0.2.1", "\x05")}, {frame: has(macB, "192.0.2.1")}, {frame: has(macB, "192.0.2.1"), after: time.Minute}},
			nil,
		},
		{"an address that another has an hour later", nil, false, []line{{frame: has(macA, "192.0.2.1")}, {frame: has(macB, "192.0.2.1"), after: time.Hour, times: 4}}, nil},
		{"a probe whether an address is free", nil, false, []line{{frame: has(macA, "192.0.2.1")}, {frame: arp(t, all, 1, macB, "0.0.0.0", none, "192.0.2.1"), times: 5}}, nil},
		{"a flood", nil, false, []line{{frame: tells(macA, "192.0.2.1"), after: 100 * time.Millisecond, times: 300}}, []string{ARPFlood}},
		{"questions are no flood", nil, false, []line{{frame: has(macA, "192.0.2.1"), after: 100 * time.Millisecond, times: 300}}, nil},
		{"DHCP servers that are learnt", nil, false, []line{{frame: lease(macA, "192.0.2.1", macC, "192.0.2.9", "\x02")}, {frame: lease(macB, "192.0.2.2", macC, "192.0.2.9", "\x02"), after: time.Minute}}, nil},
		{"a DHCP server that came later", nil, false, []line{{frame: lease(macA, "192.0.2.1", macC, "192.0.2.9", "\x02")}, {frame: lease(macB, "192.0.2.2", macC, "192.0.2.9", "\x02"), after: 2 * time.Hour}, {frame: lease(macB, "192.0.2.2", macC, "192.0.2.9", "\x02"), times: 3}}, []string{RogueDHCP}},
		{"a DHCP server that is not named", func(c *Config) { c.DHCPServers = []string{"192.0.2.1"} }, false, []line{{frame: lease(macA, "192.0.2.1", macC, "192.0.2.9", "\x02")}, {frame: lease(macB, "192.0.2.2", macC, "192.0.2.9", "\x05")}}, []string{RogueDHCP}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig()
			if tt.cfg != nil {
				tt.cfg(&cfg)
			}
			var got []string
			l := New(Options{
				Config: cfg, Gateways: []netip.Addr{netip.MustParseAddr(gateway)}, Same: func(string, string) bool { return tt.same },
				Finding: func(ev *pb.Event) {
					f := ev.GetFinding()
					got = append(got, ev.GetType()[len(TypePrefix):])
					if f.GetDescription() == "" || len(f.GetTechniques()) == 0 || len(f.GetObservables()) == 0 || f.GetRuleId() != "scanner."+got[len(got)-1] {
						t.Errorf("finding %v", f)
					}
				},
			})
			at := int64(time.Hour)
			for _, x := range tt.lines {
				for range max(1, x.times) {
					at += int64(std.Or(x.after, time.Second))
					l.Frame(&packet.Frame{Time: at, Data: x.frame, Wire: uint32(len(x.frame)), Link: packet.LinkEthernet})
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLearningGoesOn: a restart does not end the time in which DHCP servers are learnt.
func TestLearningGoesOn(t *testing.T) {
	offer := func(server, ip string) []byte {
		a := netip.MustParseAddr(ip).As4()
		return udp(t, all, server, ip, "255.255.255.255", 67, 68, dhcp(t, 2, macC, "192.0.2.9", option(53, "\x02"), option(54, string(a[:]))))
	}
	hears := func(l *Listener, at time.Duration, b []byte) {
		l.Frame(&packet.Frame{Time: int64(at), Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet})
	}
	for _, tt := range []struct {
		after time.Duration
		told  int
	}{{10 * time.Minute, 0}, {70 * time.Minute, 1}} {
		told := 0
		o := Options{Config: DefaultConfig(), Finding: func(*pb.Event) { told++ }}
		l := New(o)
		hears(l, 24*time.Hour, offer(macA, "192.0.2.1"))
		o.DHCPServers, o.LearnUntil = l.Servers(), l.LearnUntil()
		l = New(o)
		hears(l, 24*time.Hour+tt.after, offer(macB, "192.0.2.2"))
		if told != tt.told || l.LearnUntil() != 25*3600 {
			t.Errorf("%s later: %d findings, learns until %d", tt.after, told, l.LearnUntil())
		}
	}
}

// TestLearningEnds: servers are not learnt for years because the clock was ahead at first.
func TestLearningEnds(t *testing.T) {
	offer := func(server, ip string) []byte {
		a := netip.MustParseAddr(ip).As4()
		return udp(t, all, server, ip, "255.255.255.255", 67, 68, dhcp(t, 2, macC, "192.0.2.9", option(53, "\x02"), option(54, string(a[:]))))
	}
	told := 0
	l := New(Options{Config: DefaultConfig(), Finding: func(*pb.Event) { told++ }})
	for _, step := range []struct {
		at time.Duration
		b  []byte
	}{
		{10_000 * time.Hour, offer(macA, "192.0.2.1")}, {24 * time.Hour, offer(macA, "192.0.2.1")}, {25*time.Hour + time.Minute, offer(macB, "192.0.2.2")},
	} {
		l.Frame(&packet.Frame{Time: int64(step.at), Data: step.b, Wire: uint32(len(step.b)), Link: packet.LinkEthernet})
	}
	if told != 1 {
		t.Errorf("%d findings of a server that came when all were learnt; learns until %d", told, l.LearnUntil())
	}
}

// TestClockGoesBack: a holder that was seen in what is the future now loses its address to
// another that has it after a silence, and no finding is told.
func TestClockGoesBack(t *testing.T) {
	told := 0
	l := New(Options{Config: DefaultConfig(), Finding: func(*pb.Event) { told++ }})
	at := int64(100 * time.Hour)
	has := func(mac string) {
		b := arp(t, all, 1, mac, "192.0.2.1", "00:00:00:00:00:00", "192.0.2.99")
		l.Frame(&packet.Frame{Time: at, Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet})
	}
	has(macA)
	at -= 50 * int64(time.Hour)
	has(macB)
	at += int64(time.Hour)
	has(macB)
	h := l.watch.holders[netip.MustParseAddr("192.0.2.1")]
	if macText(h.mac) != macB || h.last != at || told != 0 {
		t.Errorf("holder %+v, %d findings", h, told)
	}
}

// TestClaimsOfOneHost: what one host claims is remembered as far as it matters.
func TestClaimsOfOneHost(t *testing.T) {
	l := New(Options{Config: DefaultConfig(), Finding: func(*pb.Event) {}})
	at := int64(time.Hour)
	for i := range 200 {
		for _, mac := range []string{macA, macB} {
			at += int64(time.Millisecond)
			b := arp(t, all, 1, mac, fmt.Sprintf("192.0.2.%d", i+1), "00:00:00:00:00:00", "192.0.2.254")
			l.Frame(&packet.Frame{Time: at, Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet})
		}
	}
	for m, b := range l.watch.claims {
		if len(b.stolen) > l.o.Config.SpoofedAddresses+16 || macText(m) == macB && len(b.stolen) < l.o.Config.SpoofedAddresses {
			t.Errorf("%s: %d", macText(m), len(b.stolen))
		}
	}
}

// TestFloodOfClaims: what is remembered stays bounded, and few findings are told.
func TestFloodOfClaims(t *testing.T) {
	told := 0
	l := New(Options{Config: DefaultConfig(), Finding: func(*pb.Event) { told++ }})
	for i := range 50_000 {
		mac := fmt.Sprintf("00:00:5e:%02x:%02x:%02x", i>>16, i>>8&255, i&255)
		ip := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&127, i&255)
		b := arp(t, all, 2, mac, ip, mac, ip)
		l.Frame(&packet.Frame{Time: int64(time.Hour) + int64(i)*1000, Data: b, Wire: 42, Link: packet.LinkEthernet})
	}
	w := l.watch
	if len(w.holders) > maxHolders || len(w.claims) > maxClaims || len(w.asked) > maxClaims || len(l.recent) > maxRecent || told > 40 {
		t.Errorf("%d holders, %d claims, %d questions, %d frames, %d findings", len(w.holders), len(w.claims), len(w.asked), len(l.recent), told)
	}
}

func TestConfig(t *testing.T) {
	v := config.NewCheck()
	cfg := DefaultConfig()
	cfg.Validate(v)
	if f := v.Faults(); len(f) != 0 {
		t.Error(f)
	}
	bad := Config{Disabled: []string{"x"}, DHCPServers: []string{"x"}, TrustedMACs: []string{"x"}, LearnMinutes: -1}
	v = config.NewCheck()
	bad.Validate(v)
	if f := v.Faults(); len(f) != 9 {
		t.Errorf("%d faults: %v", len(f), f)
	}
}
