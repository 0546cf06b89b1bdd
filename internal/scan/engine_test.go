package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// air is a wire without a cable, whose time passes when somebody waits. Hosts behind it
// answer as answer says: with packets, each after a while.
type air struct {
	now     time.Duration
	slot    [probe.MaxPacket]byte
	answer  func(p sentPacket) []late
	coming  []late // by time
	packets int
	each    func(p sentPacket) // of every packet, unless nil
}

type late struct {
	packet []byte
	after  time.Duration
}

// sentPacket is a SYN or an echo request, taken apart.
type sentPacket struct {
	from, to    netip.Addr
	port, local uint16
	seq         uint32
	raw         []byte
}

func (a *air) Slot() []byte { return a.slot[:0] }

func (a *air) Queue(packet []byte, _ probe.MAC) bool {
	a.packets++
	p := sentPacket{from: netip.AddrFrom4([4]byte(packet[12:16])), to: netip.AddrFrom4([4]byte(packet[16:20])), raw: slices.Clone(packet)}
	if packet[9] == 6 {
		p.local, p.port, p.seq = binary.BigEndian.Uint16(packet[20:]), binary.BigEndian.Uint16(packet[22:]), binary.BigEndian.Uint32(packet[24:])
	} else {
		p.seq = binary.BigEndian.Uint32(packet[24:])
	}
	if a.each != nil {
		a.each(p)
	}
	for _, l := range a.answer(p) {
		l.after += a.now
		i, _ := slices.BinarySearchFunc(a.coming, l.after, func(x late, t time.Duration) int {
			if x.after <= t {
				return -1
			}
			return 1
		})
		a.coming = slices.Insert(a.coming, i, l)
	}
	return true
}

func (a *air) Flush() error { return nil }

func (a *air) Receive(each func([]byte, probe.MAC)) (n int, err error) {
	for len(a.coming) > 0 && a.coming[0].after <= a.now {
		each(a.coming[0].packet, probe.MAC{})
		a.coming = a.coming[1:]
		n++
	}
	return n, nil
}

func (a *air) Wait(long time.Duration) {
	until := a.now + long
	if len(a.coming) > 0 {
		until = max(a.now+time.Microsecond, min(until, a.coming[0].after))
	}
	a.now = until
}

// reply is a segment of TCP that answers p with flags.
func (p sentPacket) reply(flags byte) []byte {
	b := make([]byte, 40)
	b[0], b[3], b[8], b[9] = 0x45, 40, 64, 6
	to, from := p.to.As4(), p.from.As4()
	copy(b[12:], to[:])
	copy(b[16:], from[:])
	binary.BigEndian.PutUint16(b[20:], p.port)
	binary.BigEndian.PutUint16(b[22:], p.local)
	binary.BigEndian.PutUint32(b[28:], p.seq+1)
	b[32], b[33] = 5<<4, flags
	return b
}

const (
	synAck = 0x12
	rstAck = 0x14
	fast   = 200 * time.Microsecond
)

// usual accepts on port 80 and refuses others.
func usual(p sentPacket) []late {
	if p.port == 80 {
		return []late{{p.reply(synAck), fast}}
	}
	return []late{{p.reply(rstAck), fast}}
}

// probed runs an engine over the air until all hosts have been asked.
func probed(t *testing.T, a *air, hosts, ports int, adjust func(*engine)) (map[string]*subject, *engine) {
	t.Helper()
	asks := make([]ask, ports)
	for i := range asks {
		asks[i] = ask(i + 1)
	}
	e := newEngine(a, 61_000, asks, time.Second, 1)
	found := map[string]*subject{}
	e.limit, e.count, e.clock = newLimiter(0), &counters{}, func() time.Duration {
		a.now += time.Microsecond
		return a.now
	}
	e.done = func(s *subject) error {
		if found[s.host.IP.String()] != nil {
			t.Errorf("%s twice", s.host.IP)
		}
		found[s.host.IP.String()] = s
		return nil
	}
	if adjust != nil {
		adjust(e)
	}
	in := make(chan candidate, hosts)
	for i := range hosts {
		in <- candidate{host: &Host{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, path: probe.Path{Source: netip.AddrFrom4([4]byte{192, 0, 2, 254})}}
	}
	close(in)
	if err := e.run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if len(found) != hosts || e.waiting != [2]int{} || e.count.left.Load() != 0 {
		t.Errorf("%d hosts of %d, %v wait, %d left", len(found), hosts, e.waiting, e.count.left.Load())
	}
	return found, e
}

func (s *subject) ports(asks []ask, outcome uint8) (out []ask) {
	for i, state := range s.state {
		if state&outcomeBits == outcome {
			out = append(out, asks[i])
		}
	}
	return out
}

// TestHostile: what hosts answer that is no answer to us changes nothing.
func TestHostile(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(p sentPacket) []late
		open   []ask
		strays uint64
	}{
		{"usual", usual, []ask{80}, 0},
		{"everything twice", func(p sentPacket) []late { return append(usual(p), usual(p)...) }, []ask{80}, 0},
		{"another number is acknowledged", func(p sentPacket) []late {
			p.seq++
			return []late{{p.reply(synAck), fast}}
		}, nil, 0},
		{"another address answers", func(p sentPacket) []late {
			p.to = p.to.Next()
			return []late{{p.reply(synAck), fast}}
		}, nil, 0},
		{"another port answers", func(p sentPacket) []late {
			p.port ^= 1
			return []late{{p.reply(synAck), fast}}
		}, nil, 0},
		{"refuses what it accepted", func(p sentPacket) []late {
			return append(usual(p), late{p.reply(rstAck), 2 * fast}, late{p.reply(synAck), 3 * fast})
		}, []ask{80}, 0},
		{"reset without acknowledgement", func(p sentPacket) []late { return []late{{p.reply(4), fast}} }, nil, 0},
		{"its own SYN", func(p sentPacket) []late { return []late{{p.reply(2), fast}} }, nil, 0},
		{"noise", func(p sentPacket) []late {
			return []late{{p.raw, fast}, {p.raw[:30], fast}, {nil, fast}, {[]byte{0x45}, fast}, {slices.Repeat([]byte{0xff}, 100), fast}}
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &air{answer: c.answer}
			found, e := probed(t, a, 2, 150, nil)
			for ip, s := range found {
				if got := s.ports(e.asks, outcomeOpen); !slices.Equal(got, c.open) {
					t.Errorf("%s: open %v, want %v", ip, got, c.open)
				}
			}
		})
	}
}

// TestEverywhere: a host that accepts on all ports is known as such after some hundred
// of them, and so is one that does so in part not.
func TestEverywhere(t *testing.T) {
	a := &air{answer: func(p sentPacket) []late { return []late{{p.reply(synAck), fast}} }}
	found, _ := probed(t, a, 1, 60_000, nil)
	if s := found["192.0.2.1"]; !s.everywhere() || a.packets > 5000 {
		t.Errorf("%d open, %d packets", s.open, a.packets)
	}
	a = &air{answer: func(p sentPacket) []late {
		if p.port%2 == 0 {
			return []late{{p.reply(synAck), fast}}
		}
		return []late{{p.reply(rstAck), fast}}
	}}
	found, _ = probed(t, a, 1, 1000, nil)
	if s := found["192.0.2.1"]; s.everywhere() || s.open != 500 {
		t.Errorf("%d open", s.open)
	}
}

// TestLate: a host that answers late is waited for, and what is late is not taken for
// lost.
func TestLate(t *testing.T) {
	a := &air{answer: func(p sentPacket) []late {
		answers := usual(p)
		answers[0].after = 700 * time.Millisecond // longer than the first wait
		return answers
	}}
	found, e := probed(t, a, 3, 200, nil)
	for ip, s := range found {
		if s.open != 1 || s.closed != 199 {
			t.Errorf("%s: %d open, %d closed", ip, s.open, s.closed)
		}
	}
	if e.pace.loss() > 0.02 {
		t.Errorf("a loss of %.3f where nothing was lost", e.pace.loss())
	}
}

// TestLoss: with much loss in both directions all is found all the same.
func TestLoss(t *testing.T) {
	for _, oneIn := range []int{100, 20, 7} {
		n := 0
		a := &air{answer: func(p sentPacket) []late {
			if n++; n%oneIn == 0 {
				return nil
			}
			return usual(p)
		}}
		found, e := probed(t, a, 20, 1000, nil)
		for ip, s := range found {
			if s.open != 1 || s.closed != 999 {
				t.Errorf("one in %d lost: %s: %d open, %d closed", oneIn, ip, s.open, s.closed)
			}
		}
		if loss, want := e.pace.loss(), 1/float64(oneIn); loss < want/2 || loss > want*2 {
			t.Errorf("a loss of %.3f, want %.3f", loss, want)
		}
	}
}

// TestCongestion: a network that carries so many packets a second and loses the rest is
// not flooded for long.
func TestCongestion(t *testing.T) {
	const carries = 20_000 // a second
	free := time.Duration(0)
	var lost int
	a := &air{}
	a.answer = func(p sentPacket) []late {
		free = max(free, a.now)
		if free-a.now > 20*time.Millisecond { // the queue is full
			lost++
			return nil
		}
		free += time.Second / carries
		answers := usual(p)
		answers[0].after += free - a.now
		return answers
	}
	found, _ := probed(t, a, 50, 1000, nil)
	for ip, s := range found {
		if s.open != 1 || s.closed != 999 {
			t.Errorf("%s: %d open, %d closed", ip, s.open, s.closed)
		}
	}
	if a.packets > 75_000 || a.now > 6*time.Second {
		t.Errorf("%d packets, of which %d were lost, in %s", a.packets, lost, a.now)
	}
	t.Logf("%d packets, of which %d were lost, in %s", a.packets, lost, a.now)
}

// TestSilence: silent hosts take neither long nor room from others.
func TestSilence(t *testing.T) {
	a := &air{answer: func(p sentPacket) []late {
		if p.to.As4()[3] <= 10 {
			return nil
		}
		return usual(p)
	}}
	found, _ := probed(t, a, 20, 1000, nil)
	for ip, s := range found {
		if silent := netip.MustParseAddr(ip).As4()[3] <= 10; silent != (s.open == 0) || silent && s.answered() != 0 {
			t.Errorf("%s: %d open", ip, s.open)
		}
	}
	if a.packets > 32_000 || a.now > 2*time.Second {
		t.Errorf("%d packets in %s", a.packets, a.now)
	}
}

// TestLimits: rates in all and to one host are kept to.
func TestLimits(t *testing.T) {
	a := &air{answer: usual}
	last := map[netip.Addr]time.Duration{}
	var all []time.Duration
	a.each = func(p sentPacket) {
		if before, is := last[p.to]; is && len(all) > 200 && a.now-before < 5*time.Millisecond {
			t.Errorf("%s: two packets within %s", p.to, a.now-before)
		}
		last[p.to] = a.now
		all = append(all, a.now)
	}
	probed(t, a, 4, 200, func(e *engine) {
		e.limit, e.every = newLimiter(1000), 10*time.Millisecond
	})
	if took := all[len(all)-1] - all[0]; took < 1900*time.Millisecond || len(all) != 800 {
		t.Errorf("%d packets to 4 hosts in %s, at 100 a second to each", len(all), took)
	}
	a = &air{answer: usual}
	probed(t, a, 10, 100, func(e *engine) { e.limit = newLimiter(1000) })
	if a.now < 980*time.Millisecond || a.now > 1200*time.Millisecond {
		t.Errorf("1000 packets at 1000 a second in %s", a.now)
	}
}

// TestFirst: to see whether a host is there, one answer is enough, also a refusal, but
// not a router's word.
func TestFirst(t *testing.T) {
	unreachable := func(p sentPacket, from byte) []byte {
		b := make([]byte, 28+28)
		b[0], b[3], b[8], b[9] = 0x45, 56, 64, 1
		copy(b[12:], []byte{192, 0, 2, from})
		copy(b[16:], []byte{192, 0, 2, 254})
		b[20], b[21] = 3, 1
		copy(b[28:], p.raw[:28])
		return b
	}
	a := &air{answer: func(p sentPacket) []late {
		switch p.to.As4()[3] {
		case 1:
			return []late{{p.reply(rstAck), fast}}
		case 2:
			return []late{{unreachable(p, 99), fast}}
		case 3:
			return []late{{unreachable(p, 3), fast}}
		}
		return nil
	}}
	found, _ := probed(t, a, 4, 5, func(e *engine) { e.first = true })
	for host, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.3": true, "192.0.2.4": false} {
		if got := found[host].answered() > 0; got != want {
			t.Errorf("%s: there is %v", host, got)
		}
	}
}

// TestEngineEnds: an engine ends with its context, and with an error of who takes hosts.
func TestEngineEnds(t *testing.T) {
	a := &air{answer: usual}
	e := newEngine(a, 61_000, []ask{80}, time.Second, 1)
	e.limit, e.count, e.clock = newLimiter(0), &counters{}, func() time.Duration { return a.now }
	broken := errors.New("broken")
	e.done = func(*subject) error { return broken }
	in := make(chan candidate, 1)
	in <- candidate{host: &Host{IP: netip.MustParseAddr("192.0.2.1")}, path: probe.Path{Source: netip.MustParseAddr("192.0.2.254")}}
	if err := e.run(t.Context(), in); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.run(ctx, make(chan candidate)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
