package packet

import "encoding/binary"

// Decoder reads frames. One goroutine uses it. The zero value is ready; it takes
// memory (about 300 KiB) with the first fragment that it meets, and never more.
type Decoder struct {
	fragments *fragments
}

// FragmentStats are counts of a Decoder since it was made.
type FragmentStats struct {
	// Seen are fragments; Overlaps those of them that overlap another of the same
	// datagram without being the same again.
	Seen, Overlaps uint64
	// Unknown are later fragments whose first had not been seen, so that they have
	// no ports.
	Unknown uint64
	// Evicted are datagrams that were forgotten for want of room.
	Evicted uint64
}

// Fragments counts what the Decoder saw of fragmented datagrams.
func (d *Decoder) Fragments() FragmentStats {
	if d.fragments == nil {
		return FragmentStats{}
	}
	return d.fragments.stats
}

// Decode fills p from f. Every error is a Fault; p then holds what was read before
// it, and has ports if they were. A frame without IP (ARP, or a protocol that is not
// read) is no error: its Version is 0.
//
// Tunnels are unwrapped where what they carry holds up to a look; if not, the packet
// is what its outer headers say. A fragmented datagram is not unwrapped, so that all
// of its fragments belong to the same flow.
func (d *Decoder) Decode(f *Frame, p *Packet) error {
	rest := max(f.Wire, uint32(len(f.Data)))
	p.Time, p.Wire, p.Interface, p.Segments = f.Time, rest, f.Interface, 1
	p.SrcMAC, p.DstMAC, p.EtherType, p.TunnelCount = MAC{}, MAC{}, 0, 0
	p.OuterSrc, p.OuterDst, p.OuterAt = Addr{}, Addr{}, 0
	p.Version, p.Protocol, p.TTL = 0, 0, 0
	p.Src, p.Dst, p.IPBytes = Addr{}, Addr{}, 0
	p.Fragment, p.LaterFragment, p.FragmentOverlap = false, false, false
	p.clearTransport()

	var err error
	switch f.Link {
	case LinkEthernet:
		if len(f.Data) >= ethernetLength {
			h := (*[ethernetLength]byte)(f.Data)
			p.DstMAC, p.SrcMAC = MAC(h[0:6]), MAC(h[6:12])
		}
		err = d.ethernet(p, f.Data, rest)
	default:
		err = d.otherLink(p, f.Link, f.Data, rest)
	}
	if err == nil && f.GSOSize > 0 {
		p.countSegments(uint32(f.GSOSize))
	}
	return err
}

// clearTransport takes away what an outer transport, or an earlier packet, left.
func (p *Packet) clearTransport() {
	p.HasPorts, p.SrcPort, p.DstPort = false, 0, 0
	p.ICMPType, p.ICMPCode, p.EchoID, p.Flags, p.Window = 0, 0, 0, 0, 0
	p.Seq, p.Ack, p.PayloadBytes = 0, 0, 0
	p.Options, p.Payload = nil, nil
}

// countSegments makes of one large frame the segments that the wire carries: each has
// a payload of size bytes, the last has what is left, and each has all headers of the
// frame, from the link layer through tunnels to the transport.
func (p *Packet) countSegments(size uint32) {
	if p.PayloadBytes <= size || !p.HasPorts || p.Fragment {
		return
	}
	segments := min((p.PayloadBytes+size-1)/size, 1<<16-1)
	p.Segments = uint16(segments)
	p.Wire += (segments - 1) * (p.Wire - p.PayloadBytes)
	p.IPBytes += (segments - 1) * (p.IPBytes - p.PayloadBytes)
}

// nest notes, before the addresses of an inner IP header take their place, those of the
// outermost.
func (p *Packet) nest() {
	switch {
	case p.Version == 0:
		p.OuterAt = p.TunnelCount
	case p.OuterSrc == Addr{} && p.OuterDst == Addr{}:
		p.OuterSrc, p.OuterDst = p.Src, p.Dst
	}
}

// push notes a header around the packet.
func (p *Packet) push(kind TunnelKind, id uint32) error {
	if p.TunnelCount >= MaxTunnels {
		return ErrTunnels
	}
	p.Tunnels[p.TunnelCount] = Tunnel{Kind: kind, ID: id}
	p.TunnelCount++
	return nil
}

// carried holds rest bytes of a packet, of which data were captured; what lies
// behind them, such as padding, is not of it.
func carried(data []byte, rest uint32) []byte {
	if uint32(len(data)) > rest {
		return data[:rest]
	}
	return data
}

// beyond gives what of data lies behind n bytes: nothing where fewer were captured.
func beyond(data []byte, n uint32) []byte {
	if uint32(len(data)) < n {
		return nil
	}
	return data[n:]
}

// be16 and be32 read numbers in network byte order.
func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
