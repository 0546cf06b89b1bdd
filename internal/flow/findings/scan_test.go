package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

func TestScans(t *testing.T) {
	const attacker = "10.0.0.66"
	each := func(n int, every time.Duration, one func(l *lab, i int)) func(*lab) {
		return func(l *lab) {
			for i := range n {
				one(l, i)
				l.wait(every)
			}
		}
	}
	port := func(state string, n int, every time.Duration) func(*lab) {
		return each(n, every, func(l *lab, i int) { l.both(l.tcp(attacker, "10.0.0.1", uint16(1+i*7), state)) })
	}
	sweep := func(state string, n int, every time.Duration) func(*lab) {
		return each(n, every, func(l *lab, i int) { l.both(l.tcp(attacker, host(i), 22, state)) })
	}
	flags := func(flags uint8) func(*lab) {
		return each(10, time.Millisecond, func(l *lab, i int) {
			f := l.tcp(attacker, "10.0.0.1", uint16(1+i*7), "OTH")
			f.Out.Flags, f.Midstream = flags, true
			l.both(f)
		})
	}
	for _, c := range []struct {
		name  string
		play  func(*lab)
		want  []string
		shows string // in the description
	}{
		{"SYN scan of closed ports", port("REJ", 200, time.Millisecond), []string{"port_scan"}, "SYN or connect"},
		{"SYN scan of filtered ports", port("S0", 200, time.Millisecond), []string{"port_scan"}, "10.0.0.66 tried 15 ports of 10.0.0.1"},
		{"SYN scan of open ports", port("half", 200, time.Millisecond), []string{"port_scan"}, "half-open"},
		{"connect scan of open ports", port("connect", 200, time.Millisecond), []string{"port_scan"}, "connect"},
		{"one try too few", port("REJ", 13, time.Millisecond), nil, ""},
		{"sweep for SSH", sweep("S0", 200, time.Millisecond), []string{"network_sweep"}, "tried port 22 of about 25 hosts"},
		{"sweep over living hosts", sweep("half", 200, time.Millisecond), []string{"network_sweep"}, ""},
		{"NULL", flags(0), []string{"stealth_scan"}, "NULL"},
		{"FIN", flags(packet.FIN), []string{"stealth_scan"}, "FIN"},
		{"Xmas", flags(packet.FIN | packet.PSH | packet.URG), []string{"stealth_scan"}, "Xmas"},
		{"no scan, but ends that were seen alone", flags(packet.FIN | packet.ACK), nil, ""},
		{"stealth against ports above the scanner's", each(10, 0, func(l *lab, i int) {
			f := l.tcp("10.0.0.1", attacker, 30000, "OTH")
			f.Out, f.In = track.Side{}, track.Side{Packets: 1, Flags: packet.FIN}
			f.SrcPort, f.Midstream = uint16(60000+i), true
			l.both(f)
		}), []string{"stealth_scan"}, "10.0.0.66 sent"},
		{"ACK scan", each(50, 0, func(l *lab, i int) {
			f := l.tcp(attacker, "10.0.0.1", uint16(1+i), "OTH")
			f.Midstream, f.Out.Flags, f.In = true, packet.ACK, track.Side{Packets: 1, Flags: packet.RST}
			l.both(f)
		}), []string{"port_scan"}, ""},
		{"FIN and ACK", each(50, 0, func(l *lab, i int) {
			f := l.tcp(attacker, "10.0.0.1", uint16(1+i), "OTH")
			f.Midstream, f.Out.Flags, f.In = true, packet.FIN|packet.ACK, track.Side{Packets: 1, Flags: packet.RST}
			l.both(f)
		}), []string{"port_scan"}, ""},
		{"SYN with payload", each(50, 0, func(l *lab, i int) {
			f := l.tcp(attacker, "10.0.0.1", uint16(1+i), "S0")
			f.Out.Payload, f.Out.Flags = 20, packet.SYN|packet.PSH
			l.both(f)
		}), []string{"port_scan"}, ""},
		{"large datagrams", each(50, 0, func(l *lab, i int) {
			f := l.udp(attacker, "10.0.0.1", uint16(1+i*3), false)
			f.Out.Payload = 1300
			l.both(f)
		}), []string{"udp_scan"}, ""},
		{"UDP from port 53, taken for answers", each(50, 0, func(l *lab, i int) {
			f := l.udp("10.0.0.1", attacker, 53, false)
			f.SrcPort, f.Out, f.In = uint16(1025+i), track.Side{}, f.Out
			l.both(f)
		}), []string{"udp_scan"}, ""},
		{"UDP scan", each(100, time.Millisecond, func(l *lab, i int) { l.both(l.udp(attacker, "10.0.0.1", uint16(1+i*3), false)) }), []string{"udp_scan"}, "by UDP"},
		{"UDP sweep for SNMP", each(100, time.Millisecond, func(l *lab, i int) { l.both(l.udp(attacker, host(i), 161, i%10 == 0)) }), []string{"udp_scan"}, "port 161"},
		{"slow scan of ports", port("REJ", 200, time.Minute), []string{"slow_scan"}, ""},
		{"slow sweep", sweep("S0", 150, 20*time.Second), []string{"slow_scan"}, ""},
		{"many ports of many hosts in no order", each(6000, time.Millisecond, func(l *lab, i int) {
			k := i * 7919 % 60000
			l.both(l.tcp(attacker, host(k%200), uint16(1+k/200), "S0"))
		}), []string{"network_sweep", "port_scan"}, ""},
		{"ping sweep", each(100, time.Millisecond, func(l *lab, i int) { l.both(l.ping(attacker, host(i), i%3 == 0)) }), []string{"ping_sweep"}, "pinged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab()
			c.play(l)
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
			if len(c.want) > 0 {
				f := l.told[0].GetFinding()
				if !strings.Contains(f.GetDescription(), c.shows) {
					t.Errorf("the description lacks %q: %s", c.shows, f.GetDescription())
				}
				if got := f.GetObservables()["source.ip"]; got != attacker {
					t.Errorf("source.ip is %q", got)
				}
			}
		})
	}
}

// TestNoScans plays what is busy and good.
func TestNoScans(t *testing.T) {
	const client = "10.0.0.7"
	for _, c := range []struct {
		name string
		play func(*lab)
	}{
		{"browser with 60 connections, some of them spare", func(l *lab) {
			for i := range 60 {
				f := l.tcp(client, fmt.Sprintf("93.184.%d.%d", i/6, i), 443, "SF")
				if i%6 == 0 {
					f = l.tcp(client, fmt.Sprintf("93.184.%d.%d", i/6, i), 443, "S1")
					f.Out.Payload, f.In.Payload = 0, 0
				}
				l.both(f)
			}
		}},
		{"browser behind a firewall that drops QUIC", func(l *lab) {
			for i := range 100 {
				f := l.udp(client, fmt.Sprintf("93.184.%d.%d", i/6, i), 443, false)
				f.Out.Packets, f.Out.Payload = 3, 3*1250
				f.Facts = &dissect.Facts{App: "quic", Category: "web", Confidence: 1}
				l.both(f)
				l.both(l.tcp(client, fmt.Sprintf("93.184.%d.%d", i/6, i), 443, "SF"))
			}
		}},
		{"waking up: what servers have forgotten is ended", func(l *lab) {
			for i := range 100 {
				f := l.tcp(client, fmt.Sprintf("93.184.%d.%d", i/6, i), 443, "OTH")
				f.Midstream, f.Out.Flags, f.In = true, packet.FIN|packet.ACK, track.Side{Packets: 1, Flags: packet.RST}
				l.both(f)
			}
		}},
		{"answers of DNS that come late", func(l *lab) {
			for i := range 100 {
				f := l.udp(client, "9.9.9.9", 53, false)
				f.SrcPort, f.Out, f.In = uint16(20000+i), track.Side{}, f.Out
				f.Facts = &dissect.Facts{App: "dns", Category: "name", Confidence: 1}
				l.both(f)
			}
		}},
		{"CDN: one client, 500 edges on one port", func(l *lab) {
			for i := range 500 {
				state := "SF"
				if i%9 == 0 {
					state = "REJ"
				}
				l.both(l.tcp(client, fmt.Sprintf("151.101.%d.%d", i/250, i%250), 443, state))
			}
		}},
		{"resolver with 5,000 queries, a tenth of them unanswered", func(l *lab) {
			for i := range 5000 {
				l.both(l.udp(client, fmt.Sprintf("198.51.%d.%d", i/250, i%250), 53, i%10 != 0))
			}
		}},
		{"host of many services", func(l *lab) {
			for i := range 300 {
				l.both(l.tcp(client, "10.0.0.1", uint16(1000+i), "SF"))
			}
		}},
		{"file sharing: 2,000 peers, each with its port, most away", func(l *lab) {
			for i := range 2000 {
				state := "S0"
				if i%4 == 0 {
					state = "SF"
				}
				port := uint16(10000 + i*31%50000)
				if i%12 == 0 {
					port = 6881
				}
				peer := fmt.Sprintf("93.%d.%d.9", i/250, i%250)
				l.both(l.tcp(client, peer, port, state))
				l.both(l.udp(client, peer, port, i%3 == 0))
				l.wait(20 * time.Millisecond)
			}
		}},
		{"monitoring that pings 1,000 hosts which answer", func(l *lab) {
			for i := range 1000 {
				l.both(l.ping(client, host(i), i%20 != 0))
			}
		}},
		{"traceroute", func(l *lab) {
			for i := range 90 {
				l.both(l.udp(client, "93.184.216.34", uint16(33434+i), false))
			}
		}},
		{"discovery on the link", func(l *lab) {
			for i := range 100 {
				f := l.udp(client, "239.255.255.250", uint16(1900+i), false)
				f.DstMAC = packet.MAC{1, 0, 0x5e}
				l.both(f)
			}
		}},
		{"capture of one direction", func(l *lab) {
			for i := range 200 {
				f := l.tcp(client, host(i), 443, "S0")
				f.Out = track.Side{Packets: 9, Payload: 900, Flags: packet.SYN | packet.ACK | packet.PSH}
				l.both(f)
				l.both(l.udp(client, host(i), 53, false))
			}
		}},
		{"a client that tries its one server for hours", func(l *lab) {
			for range 2000 {
				l.both(l.tcp(client, "10.0.0.1", 5432, "REJ"))
				l.wait(5 * time.Second)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab()
			c.play(l)
			if got := l.found(); len(got) > 0 {
				t.Fatalf("found %v: %s", got, l.told[0].GetFinding().GetDescription())
			}
		})
	}
}

func TestTrustedScanner(t *testing.T) {
	monitor := func(l *lab) {
		for i := range 1000 {
			l.both(l.tcp("10.9.9.9", host(i), 22, "connect"))
		}
	}
	l := newLab()
	monitor(l)
	if got := l.found(); !slices.Equal(got, []string{"network_sweep"}) {
		t.Fatalf("a monitoring system that nobody named: %v", got)
	}
	l = newLab(func(c *Config) { c.TrustedScanners = []string{"10.9.9.0/24"} })
	monitor(l)
	if got := l.found(); len(got) > 0 {
		t.Fatalf("a trusted scanner: %v", got)
	}
}
