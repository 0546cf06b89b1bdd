package place

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mac is a universally administered address for a number.
func mac(n int) MAC { return MAC{0, 0, 0x5e, byte(n >> 16), byte(n >> 8), byte(n)} }

// lab is a Map whose clock goes on by a minute a round.
type lab struct {
	*Map
	now time.Time
}

func newLab(o Options) *lab { return &lab{New(o), time.Unix(1_700_000_000, 0)} }

// round learns the switches and returns what has changed, a line each.
func (l *lab) round(switches ...Switch) []string {
	l.now = l.now.Add(time.Minute)
	for _, s := range switches {
		l.Learn(l.now, s)
	}
	var out []string
	for _, mv := range l.Settle(l.now) {
		kind := [...]string{"", "appeared", "moved", "flapping"}[mv.Kind]
		line := fmt.Sprintf("%d %s %s/%s", mv.MAC[5], kind, mv.New.SwitchUID, mv.New.Port)
		if mv.Kind != Appeared {
			line += fmt.Sprintf(" from %s/%s", mv.Old.SwitchUID, mv.Old.Port)
		}
		out = append(out, line)
	}
	return out
}

// sw makes a switch; each entry is a port and the numbers of the MACs seen there.
func sw(uid string, own int, seen map[uint32][]int, neighbors ...Neighbor) Switch {
	s := Switch{UID: uid, Name: uid + ".example.test", MACs: []MAC{mac(own)}, Ports: map[uint32]string{}, Neighbors: neighbors}
	for port := uint32(1); port < 30; port++ {
		s.Ports[port] = fmt.Sprintf("Gi%d", port)
	}
	for port, list := range seen {
		for _, n := range list {
			s.Entries = append(s.Entries, Entry{MAC: mac(n), VLAN: 10, Port: port})
		}
	}
	return s
}

func many(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

// TestPlaces: uplinks are never a place, and the port nearest to the device is.
func TestPlaces(t *testing.T) {
	core := func(ns ...Neighbor) Switch { return sw("core", 200, map[uint32][]int{24: {1, 2, 201}, 1: {3}}, ns...) }
	edge := func(ns ...Neighbor) Switch {
		return sw("edge", 201, map[uint32][]int{1: {1}, 2: {2}, 24: {3, 200}}, ns...)
	}
	want := []string{"1 appeared edge/Gi1", "2 appeared edge/Gi2", "3 appeared core/Gi1"}
	phone := Neighbor{Source: SourceLLDP, Port: 2, MAC: mac(9)}
	for _, tt := range []struct {
		name     string
		switches []Switch
		want     []string
	}{
		{"by the own addresses of switches", []Switch{core(), edge()}, want},
		{
			"by neighbours that bridge",
			[]Switch{
				sw("core", 200, map[uint32][]int{24: {1, 2}, 1: {3}}, Neighbor{Source: SourceLLDP, Port: 24, Bridges: true}),
				sw("edge", 201, map[uint32][]int{1: {1}, 2: {2}, 24: {3}}, Neighbor{Source: SourceCDP, Port: 24, Bridges: true}),
			},
			want,
		},
		{
			"by neighbours at the members of an aggregate",
			[]Switch{
				func() Switch {
					s := sw("core", 200, map[uint32][]int{29: {1, 2}, 1: {3}}, Neighbor{Source: SourceLLDP, Port: 24, MAC: mac(201)})
					s.Members = map[uint32]uint32{24: 29}
					return s
				}(),
				sw("edge", 201, map[uint32][]int{1: {1}, 2: {2}, 24: {3}}, Neighbor{Source: SourceLLDP, Port: 24, MAC: mac(200)}),
			},
			want,
		},
		{
			"by the crowd",
			[]Switch{
				sw("core", 200, map[uint32][]int{24: append(many(40, 30), 1, 2), 1: {3}}),
				sw("edge", 201, map[uint32][]int{1: {1}, 2: {2}, 24: append(many(80, 30), 3)}),
			},
			want,
		},
		{
			"by fewer others at the port",
			[]Switch{sw("core", 200, map[uint32][]int{24: {1, 2}, 1: {3}}), sw("edge", 201, map[uint32][]int{1: {1}, 2: {2}, 24: {3, 4}})},
			append(slices.Clone(want), "4 appeared edge/Gi24"),
		},
		{
			"a phone and the computer behind it",
			[]Switch{core(), edge(phone)},
			append(slices.Clone(want), "9 appeared edge/Gi2"),
		},
		{
			"only groups and nobody",
			[]Switch{{UID: "x", Entries: []Entry{{Port: 1}, {MAC: MAC{1}, Port: 1}, {MAC: mac(1)}}}},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(Options{})
			if diff := cmp.Diff(tt.want, l.round(tt.switches...)); diff != "" {
				t.Error(diff)
			}
			if again := l.round(tt.switches...); again != nil {
				t.Errorf("told again: %q", again)
			}
			slices.Reverse(tt.switches)
			if diff := cmp.Diff(tt.want, newLab(Options{}).round(tt.switches...)); diff != "" && !strings.Contains(tt.name, "crowd") {
				t.Errorf("in another order: %s", diff)
			}
		})
	}
}

// TestMoves: a move is told with the place before, though the old switch has not
// forgotten yet; going to and fro is told once as flapping, and its end if it ends
// elsewhere.
func TestMoves(t *testing.T) {
	l := newLab(Options{FlapWindow: 10 * time.Minute})
	at := func(uid string, on bool) Switch {
		own := map[string]int{"a": 200, "b": 201}[uid]
		seen := map[uint32][]int{24: {201 + 200 - own}}
		if on {
			seen[1] = []int{1}
		}
		return sw(uid, own, seen)
	}
	step := func(onA, onB bool, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, l.round(at("a", onA), at("b", onB))); diff != "" {
			t.Error(diff)
		}
	}
	step(true, false, "1 appeared a/Gi1")
	step(true, true, "1 moved b/Gi1 from a/Gi1") // a has not forgotten
	place, before, ok := l.Where(mac(1))
	if !ok || place.SwitchUID != "b" || before.SwitchUID != "a" || !before.Until.Equal(place.Since) || place.VLAN != 10 {
		t.Errorf("at %+v, before %+v", place, before)
	}
	step(false, true)
	step(true, false, "1 moved a/Gi1 from b/Gi1")
	step(false, true, "1 flapping b/Gi1 from a/Gi1")
	for range 5 {
		step(true, false)
		step(false, true)
	}
	step(true, false)
	for range 9 {
		step(true, false)
	}
	step(true, false, "1 moved a/Gi1 from b/Gi1") // it has stayed where it was not told
	step(false, false)
	if _, _, ok := l.Where(mac(1)); !ok {
		t.Error("what is silent has lost its place")
	}
	l.now = l.now.Add(31 * 24 * time.Hour)
	step(false, false)
	if s := l.Stats(); s.MACs != 0 {
		t.Errorf("%+v after a month", s)
	}
}

// TestBounds: what is too much is left out and counted.
func TestBounds(t *testing.T) {
	l := newLab(Options{MaxMACs: 3, Crowd: 100})
	if got := l.round(sw("a", 200, map[uint32][]int{1: many(1, 9)})); len(got) != 3 {
		t.Errorf("told %q", got)
	}
	if s := l.Stats(); s.MACs != 3 || s.LeftOut != 6 || s.Switches != 1 {
		t.Errorf("%+v", s)
	}
	var list []Address
	for i := range 20 {
		list = append(list, Address{mac(1), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, Address{mac(i), netip.MustParseAddr("fe80::1%eth0")})
	}
	l.Resolve(l.now, list)
	if got := l.IPs(mac(1)); len(got) != maxIPs || l.Stats().Addresses != 3 {
		t.Errorf("%d addresses of one, %d in all", len(got), l.Stats().Addresses)
	}
	l.now = l.now.Add(25 * time.Hour)
	l.round()
	if n := l.Stats().Addresses; n != 0 {
		t.Errorf("%d stale addresses", n)
	}
}

// TestRename: a switch that turns out to be another keeps its places; one that is polled
// no more loses its tables.
func TestRename(t *testing.T) {
	l := newLab(Options{})
	l.round(sw("ip-10.0.0.1", 200, map[uint32][]int{1: {1}}))
	l.Rename("ip-10.0.0.1", "sn-x-1")
	if at, _, _ := l.Where(mac(1)); at.SwitchUID != "sn-x-1" {
		t.Errorf("at %+v", at)
	}
	l.Drop("sn-x-1")
	if got := l.round(sw("b", 201, map[uint32][]int{2: {1}})); !slices.Equal(got, []string{"1 moved b/Gi2 from sn-x-1/Gi1"}) {
		t.Errorf("told %q", got)
	}
}

// TestDurable: places outlast a restart, and nothing is told again.
func TestDurable(t *testing.T) {
	l := newLab(Options{})
	a, b := sw("a", 200, map[uint32][]int{1: {1}, 2: {2}, 24: {201}}), sw("b", 201, map[uint32][]int{7: {3}, 24: {200}})
	l.round(a, b)
	a.Entries[0].Port, a.Entries[1].Port, a.Entries[2].Port = 3, 3, 3
	l.round(a, b)
	saved := l.Encode()
	m, err := Decode(saved, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		wantAt, wantBefore, _ := l.Where(mac(n))
		at, before, ok := m.Where(mac(n))
		if diff := cmp.Diff([]Place{wantAt, wantBefore}, []Place{at, before}); diff != "" || !ok {
			t.Errorf("%d: %t %s", n, ok, diff)
		}
	}
	after := &lab{m, l.now}
	if got := after.round(a, b); got != nil {
		t.Errorf("told again: %q", got)
	}
	for _, bad := range [][]byte{nil, saved[:len(saved)-1], append([]byte("x"), saved...), slices.Concat(saved[:40], []byte{1}, saved[41:])} {
		if _, err := Decode(bad, Options{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	l := newLab(Options{})
	l.round(sw("a", 200, map[uint32][]int{1: {1}, 2: {2}}))
	f.Add(l.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		// As if the checksum were right.
		m, err := Decode(sealed(b), Options{MaxMACs: 1000})
		if err != nil {
			return
		}
		if _, err := Decode(m.Encode(), Options{MaxMACs: 1000}); err != nil {
			t.Fatalf("what was decoded cannot be again: %v", err)
		}
		m.Settle(time.Unix(1, 0))
	})
}

func BenchmarkSettle(b *testing.B) {
	l := newLab(Options{Crowd: 48})
	for i := range 100 {
		seen := map[uint32][]int{}
		for port := uint32(1); port < 24; port++ {
			seen[port] = []int{i*100 + int(port)}
		}
		seen[24] = many(0, 5000)
		l.Learn(l.now, sw(fmt.Sprintf("s%d", i), 1<<20+i, seen))
	}
	for b.Loop() {
		l.Settle(l.now)
	}
}

// TestClockIsAhead: MAC addresses are forgotten after 30 days that have passed, not because the
// clock was set ahead.
func TestClockIsAhead(t *testing.T) {
	passed := time.Duration(0)
	l := newLab(Options{Age: func(time.Time) time.Duration { return passed }})
	l.round(sw("a", 1, map[uint32][]int{1: {7}}))
	l.now = l.now.Add(365 * 24 * time.Hour)
	empty := sw("a", 1, nil)
	l.round(empty)
	if _, _, known := l.Where(mac(7)); !known {
		t.Error("it is forgotten at once")
	}
	passed = 31 * 24 * time.Hour
	l.round(empty)
	if _, _, known := l.Where(mac(7)); known {
		t.Error("it is remembered for ever")
	}
}
