package findings

import (
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

func (l *lab) ask(name, response string) {
	l.DNS(dissect.Tuple{Src: ip("10.0.0.5"), Dst: ip("10.0.0.53"), SrcPort: 40000, DstPort: 53, Protocol: protoUDP},
		&dissect.DNS{Asked: true, Query: name, Type: "A", Response: response}, l.at)
	l.wait(50 * time.Millisecond)
}

func TestBeacons(t *testing.T) {
	connect := func(l *lab, to string, port uint16, size uint64) {
		f := l.tcp("10.0.0.5", to, port, "SF")
		f.Out.Bytes = size
		l.both(f)
	}
	for _, c := range []struct {
		name string
		play func(*lab, *rand.Rand)
		want []string
	}{
		{"each minute", func(l *lab, _ *rand.Rand) {
			for range 30 {
				connect(l, "203.0.113.9", 443, 700)
				l.wait(time.Minute)
			}
		}, []string{"beacon"}},
		{"each minute, give or take 30 %, some missed", func(l *lab, r *rand.Rand) {
			for i := range 40 {
				if i%9 != 5 {
					connect(l, "203.0.113.9", 443, 700+r.Uint64N(50))
				}
				l.wait(time.Duration((0.7 + 0.6*r.Float64()) * float64(time.Minute)))
			}
		}, []string{"beacon"}},
		{"a person", func(l *lab, r *rand.Rand) {
			for range 200 {
				connect(l, "203.0.113.9", 443, 500+r.Uint64N(5000))
				l.wait(time.Duration(r.ExpFloat64() * float64(time.Minute)))
			}
		}, nil},
		{"the hub of ours", func(l *lab, _ *rand.Rand) {
			for range 30 {
				connect(l, "10.0.0.1", 443, 700)
				l.wait(time.Minute)
			}
		}, nil},
		{"NTP", func(l *lab, _ *rand.Rand) {
			for range 30 {
				l.both(l.udp("10.0.0.5", "203.0.113.9", 123, true))
				l.wait(64 * time.Second)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab()
			c.play(l, rand.New(rand.NewPCG(1, 2)))
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	random := func(r *rand.Rand, n int, letters string) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	const az = "abcdefghijklmnopqrstuvwxyz"
	words := strings.Fields("cloud static images mail news shop media video login cdn assets blog forum weather travel sport music garden market kitchen")
	for _, c := range []struct {
		name string
		play func(*lab, *rand.Rand)
		want []string
	}{
		{"data in names", func(l *lab, r *rand.Rand) {
			for i := range 200 {
				data := fmt.Sprintf("%08d%s", i, random(r, 24, az+"0123456789"))
				l.ask(strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(data)), "="))+".t.example.com", "NOERROR")
			}
		}, []string{"dns_tunnel"}},
		{"a tunnel's domain that is trusted", func(l *lab, r *rand.Rand) {
			for range 200 {
				l.ask(random(r, 40, az)+".avqs.example.net", "NOERROR")
			}
		}, nil},
		{"a resolver with 5,000 names", func(l *lab, r *rand.Rand) {
			for i := range 5000 {
				l.ask(fmt.Sprintf("%s%d.%s.%s-%s.com", words[r.IntN(20)], i%50, words[r.IntN(20)], words[r.IntN(20)], words[r.IntN(20)]), "NOERROR")
			}
		}, nil},
		{"one long name again and again", func(l *lab, r *rand.Rand) {
			name := random(r, 50, az) + ".example.com"
			for range 500 {
				l.ask(name, "NOERROR")
			}
		}, nil},
		{"made-up domains", func(l *lab, r *rand.Rand) {
			for range 60 {
				l.ask(random(r, 10+r.IntN(6), az)+".com", "NXDOMAIN")
			}
		}, []string{"generated_domains"}},
		{"dead links", func(l *lab, r *rand.Rand) {
			for range 200 {
				l.ask(words[r.IntN(20)]+words[r.IntN(20)]+".com", "NXDOMAIN")
			}
		}, nil},
		{"addresses in reverse", func(l *lab, _ *rand.Rand) {
			for i := range 500 {
				l.ask(fmt.Sprintf("%d.%d.0.10.in-addr.arpa", i%250, i/250), "NXDOMAIN")
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(func(c *Config) { c.DNSTunnel.TrustedDomains = []string{"avqs.example.net"} })
			c.play(l, rand.New(rand.NewPCG(3, 4)))
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v: %v", got, c.want, l.told)
			}
		})
	}
}

func FuzzDNSName(f *testing.F) {
	for _, s := range []string{"www.example.com", "a..b", ".", "....", "xn--a.example", "\x00\xff.com", strings.Repeat("a.", 120) + "com", "co.uk"} {
		f.Add(s, "NXDOMAIN")
	}
	l := newLab(func(c *Config) { c.MaxSources = 16 })
	f.Fuzz(func(_ *testing.T, name, response string) { l.ask(name, response) })
}

func TestUploads(t *testing.T) {
	send := func(l *lab, megabytes uint64) {
		f := l.tcp("10.0.0.5", "203.0.113.9", 443, "SF")
		f.SrcPort = uint16(megabytes)
		f.Out.Bytes, f.Out.Payload = megabytes*megabyte/2, megabytes*megabyte/2
		l.Updated(&f)
		f.Out.Bytes, f.Out.Payload = megabytes*megabyte, megabytes*megabyte
		l.Ended(&f)
	}
	l := newLab()
	for range 30 {
		send(l, 50)
		l.wait(time.Hour + time.Second)
	}
	send(l, 190)
	if got := l.found(); len(got) > 0 {
		t.Fatalf("what is usual: %v", got)
	}
	send(l, 400)
	if got := l.found(); !slices.Equal(got, []string{"large_upload"}) {
		t.Fatalf("found %v", got)
	}
	if d := l.told[0].GetFinding().GetDescription(); !strings.Contains(d, "sent 390 MB") || !strings.Contains(d, "sent 50.0 MB") {
		t.Error(d)
	}
}

// TestUploadsOfLongFlows: a flow that goes on for days counts once, however many others
// came meanwhile, and one that ended is forgotten.
func TestUploadsOfLongFlows(t *testing.T) {
	l := newLab(func(c *Config) { c.MaxSources = 16 })
	f := l.tcp("10.0.0.5", "203.0.113.9", 443, "SF")
	for hour := range 48 {
		l.wait(time.Hour + time.Second)
		f.Last, f.Out.Bytes, f.Out.Payload = l.at, uint64(hour+1)*megabyte*100, uint64(hour+1)*megabyte*100
		l.Updated(&f)
		for i := range 100 { // More than are remembered.
			g := l.tcp(host(i), "203.0.113.9", 443, "SF")
			g.Out.Bytes, g.Out.Payload = 6000, 6000
			l.Updated(&g)
			if i >= 50 {
				l.Ended(&g)
			}
		}
	}
	if got := l.found(); len(got) > 0 {
		t.Errorf("found %v", got)
	}
	l.Ended(&f)
	if _, fresh := l.sent.Use(flowKey{f.Tuple, f.First}); !fresh {
		t.Error("a flow that ended is remembered")
	}
}

func TestNewDestination(t *testing.T) {
	for _, enabled := range []bool{false, true} {
		l := newLab(func(c *Config) { c.NewDestinations.Enabled, c.NewDestinations.LearnHours = enabled, 2 })
		talk := func(to string) { l.both(l.tcp("10.0.0.5", to, 443, "SF")) }
		talk("203.0.113.9")
		l.wait(3 * time.Hour)
		talk("203.0.113.77")
		if len(l.told) > 0 {
			t.Fatalf("a neighbour of one that is known: %v", l.told)
		}
		talk("198.51.100.1")
		if got := len(l.told) == 1; got != enabled {
			t.Errorf("enabled is %v: %v", enabled, l.told)
		}
	}
}

func TestTraffic(t *testing.T) {
	var s capture.Stats
	on := func(l *lab, name string, frames uint64) {
		s.Frames += frames
		l.wait(5 * time.Second)
		l.Traffic(name, s, l.at)
	}
	step := func(l *lab, frames uint64) { on(l, "eth1", frames) }
	broadcast := func(l *lab) {
		f := l.udp("10.0.0.9", "10.0.0.255", 137, false)
		f.DstMAC = packet.MAC{255, 255, 255, 255, 255, 255}
		l.both(f)
	}
	for _, c := range []struct {
		name string
		play func(*lab)
		want []string
	}{
		{"a mirror port that never gave a frame", func(l *lab) {
			for range 70 {
				step(l, 0)
			}
		}, []string{"quiet_interface"}},
		{"broadcasts alone", func(l *lab) {
			for range 130 {
				broadcast(l)
				step(l, 3)
			}
		}, []string{"only_broadcasts"}},
		{"a capture that moved to where broadcasts are alone", func(l *lab) {
			for range 10 {
				l.both(l.tcp("10.0.0.9", host(1), 443, "SF"))
				on(l, "wlan0", 18)
			}
			for range 130 {
				broadcast(l)
				step(l, 3)
			}
		}, []string{"only_broadcasts"}},
		{"two interfaces in turn", func(l *lab) {
			for range 130 {
				broadcast(l)
				step(l, 3)
				on(l, "wlan0", 3)
			}
		}, nil},
		{"back after an hour", func(l *lab) {
			step(l, 10)
			for range 720 {
				l.both(l.tcp("10.0.0.9", host(1), 443, "SF"))
				on(l, "wlan0", 18)
			}
			step(l, 0)
			step(l, 0)
		}, nil},
		{"no interface", func(l *lab) {
			for range 130 {
				on(l, "", 0)
			}
		}, nil},
		{"one direction", func(l *lab) {
			for i := range 130 {
				f := l.tcp("10.0.0.9", host(i), 443, "S0")
				f.Out = track.Side{Packets: 5, Payload: 100, Flags: packet.SYN | packet.ACK}
				l.both(f)
				step(l, 5)
			}
		}, []string{"one_direction"}},
		{"a network that works", func(l *lab) {
			for i := range 130 {
				l.both(l.tcp("10.0.0.9", host(i), 443, "SF"))
				step(l, 18)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s = capture.Stats{}
			l := newLab()
			c.play(l)
			if got := l.found(); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
		})
	}
	t.Run("frames come back", func(t *testing.T) {
		s = capture.Stats{}
		l := newLab()
		step(l, 10)
		for range 70 {
			step(l, 0)
		}
		step(l, 10)
		step(l, 10)
		first, last := l.told[0].GetFinding(), l.told[len(l.told)-1].GetFinding()
		if last.GetStatus() != statusResolved || last.GetUid() != first.GetUid() {
			t.Errorf("told %v", l.told)
		}
	})
}
