package packet

import (
	"errors"
	"testing"
	"time"
)

// part builds a fragment of datagram id: at and length in bytes.
func part(id byte, at int, more bool, in []byte) []byte {
	place := at / 8
	if more {
		place |= 0x2000
	}
	b := ether(etherIPv4, ipv4With(protoUDP, place, nil, in))
	b[19] = id
	return b
}

func TestFragmentsHavePortsOfTheFirst(t *testing.T) {
	first := join(u16(1111), u16(2222), u16(8+2000), u16(0), make([]byte, 992))
	rest := make([]byte, 1008)
	v6 := func(place int, in []byte) []byte {
		return ether(etherIPv6, ipv6(protoFragment, fragment6(protoOptions, place, in)))
	}
	for _, c := range []struct {
		name   string
		frames [][]byte
		ports  []bool
	}{
		{"IPv4 in order", [][]byte{part(1, 0, true, first), part(1, 1000, false, rest)}, []bool{true, true}},
		{"the last first", [][]byte{part(1, 1000, false, rest), part(1, 0, true, first)}, []bool{false, true}},
		{"another datagram", [][]byte{part(1, 0, true, first), part(2, 1000, false, rest)}, []bool{true, false}},
		{"IPv6 behind options", [][]byte{v6(1, extension(protoUDP, first)), v6(1008, rest)}, []bool{true, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var p Packet
			for i, data := range c.frames {
				if err := d.Decode(&Frame{Data: data, Link: LinkEthernet}, &p); err != nil {
					t.Fatal(err)
				}
				if !p.Fragment || p.FragmentOverlap || p.HasPorts != c.ports[i] || p.HasPorts && (p.SrcPort != 1111 || p.DstPort != 2222 || p.Protocol != protoUDP) {
					t.Errorf("fragment %d: %s, overlap %v", i, summary(&p), p.FragmentOverlap)
				}
			}
		})
	}
}

func TestFragmentOverlap(t *testing.T) {
	first := join(u16(1111), u16(2222), u16(8+2000), u16(0), make([]byte, 992))
	forged := join(u16(9), u16(9), u16(8+2000), u16(0), make([]byte, 984))
	var d Decoder
	var p Packet
	for i, c := range []struct {
		data    []byte
		overlap bool
	}{
		{part(1, 0, true, first), false},
		{part(1, 0, true, first), false}, // the same again
		{part(1, 1000, true, make([]byte, 1000)), false},
		{part(1, 992, true, make([]byte, 16)), true},
		{part(1, 0, true, forged), true},
		{part(1, 2000, false, make([]byte, 8)), false},
	} {
		if err := d.Decode(&Frame{Data: c.data, Link: LinkEthernet}, &p); err != nil {
			t.Fatal(err)
		}
		if p.FragmentOverlap != c.overlap {
			t.Errorf("fragment %d: overlap %v", i, p.FragmentOverlap)
		}
	}
	if p.SrcPort != 1111 {
		t.Errorf("a forged first fragment changed the port to %d", p.SrcPort)
	}
	if got, want := d.Fragments(), (FragmentStats{Seen: 6, Overlaps: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestFragmentWithinHeader: flags of TCP are seen though the header is cut before them.
func TestFragmentWithinHeader(t *testing.T) {
	header := tcpWith(SYN, nil, []byte("after"))
	var d Decoder
	var p Packet
	flags, payload := uint8(0), ""
	for at := 0; at < len(header); at += 8 {
		end := min(at+8, len(header))
		more := 0x2000
		if end == len(header) {
			more = 0
		}
		_ = d.Decode(&Frame{Data: ether(0x800, ipv4With(protoTCP, more|at/8, nil, header[at:end])), Link: LinkEthernet}, &p)
		if !p.HasPorts || p.Flags != 0 && p.Seq != be32(header[4:8]) {
			t.Errorf("the fragment at %d: %s", at, summary(&p))
		}
		if p.Flags != 0 && at != 8 {
			t.Errorf("flags in the fragment at %d", at)
		}
		flags |= p.Flags
		payload += string(p.Payload)
	}
	if flags != SYN || payload != "after" {
		t.Errorf("flags %#x, payload %q", flags, payload)
	}
}

// TestFragmentTable: it forgets what is old, and stays as large as it is.
func TestFragmentTable(t *testing.T) {
	first := join(u16(1111), u16(2222), u16(8+2000), u16(0), make([]byte, 992))
	var d Decoder
	var p Packet
	if err := d.Decode(&Frame{Data: part(1, 0, true, first), Link: LinkEthernet}, &p); err != nil {
		t.Fatal(err)
	}
	later := Frame{Time: int64(2 * time.Minute), Data: part(1, 1000, false, make([]byte, 8)), Link: LinkEthernet}
	if err := d.Decode(&later, &p); err != nil || p.HasPorts {
		t.Errorf("two minutes later: %v, %s", err, summary(&p))
	}
	for i := range 100_000 {
		data := part(1, 0, true, first)
		data[26], data[27], data[28], data[29] = 10, byte(i>>16), byte(i>>8), byte(i)
		if err := d.Decode(&Frame{Time: later.Time, Data: data, Link: LinkEthernet}, &p); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.Fragments(); s.Evicted < 100_000-fragmentSets*fragmentWays {
		t.Errorf("%+v", s)
	}
	if err := d.Decode(&Frame{Data: part(1, 8, true, make([]byte, 9)), Link: LinkEthernet}, &p); !errors.Is(err, ErrLength) {
		t.Errorf("a fragment of 9 bytes before others: %v", err)
	}
}
