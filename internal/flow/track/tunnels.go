package track

import "github.com/amoskys/amoskys/internal/flow/packet"

// maxTunnelSets is how many different rows of headers are told apart at once.
const maxTunnelSets = 16_384

// tunnelSet is the row of headers around a flow's first packet, outermost first.
type tunnelSet struct {
	tunnels  [packet.MaxTunnels]packet.Tunnel
	src, dst packet.Addr // of the outermost IP header, where that carries another
	count    uint8
	at       uint8 // how many of the headers are around that
}

// tunnelSets number the rows that are in use, from 1; 0 is none, or one too many.
type tunnelSets struct {
	numbers map[tunnelSet]uint16
	sets    []tunnelSet
	uses    []int
	free    []uint16
}

// number returns the number of a packet's headers, to be released.
func (x *tunnelSets) number(p *packet.Packet) uint16 {
	if p.TunnelCount == 0 {
		return 0
	}
	set := tunnelSet{count: p.TunnelCount, src: p.OuterSrc, dst: p.OuterDst, at: p.OuterAt}
	copy(set.tunnels[:], p.Tunnels[:p.TunnelCount])
	if n, known := x.numbers[set]; known {
		x.uses[n]++
		return n
	}
	if len(x.numbers) >= maxTunnelSets {
		return 0
	}
	if x.numbers == nil {
		x.numbers = make(map[tunnelSet]uint16)
		x.sets, x.uses = make([]tunnelSet, 1), make([]int, 1)
	}
	var n uint16
	if last := len(x.free) - 1; last >= 0 {
		n, x.free = x.free[last], x.free[:last]
		x.sets[n], x.uses[n] = set, 1
	} else {
		n = uint16(len(x.sets))
		x.sets, x.uses = append(x.sets, set), append(x.uses, 1)
	}
	x.numbers[set] = n
	return n
}

// fill tells the headers of a number. They are valid until its last release.
func (x *tunnelSets) fill(n uint16, f *Flow) {
	if n == 0 {
		return
	}
	set := &x.sets[n]
	f.Tunnels, f.OuterSrc, f.OuterDst, f.OuterAt = set.tunnels[:set.count], set.src, set.dst, set.at
}

func (x *tunnelSets) release(n uint16) {
	if n == 0 {
		return
	}
	if x.uses[n]--; x.uses[n] == 0 {
		delete(x.numbers, x.sets[n])
		x.free = append(x.free, n)
	}
}
