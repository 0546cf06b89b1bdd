package packet

import (
	"encoding/binary"
	"hash/maphash"
	"time"
)

// The table of datagrams under way is a hash table of sets: a datagram lies in one of
// the fragmentWays places of its set, and who comes last takes that of the one
// touched longest ago. It is never larger, whatever arrives.
const (
	fragmentSets = 256
	fragmentWays = 4
	// fragmentParts is how many parts of one datagram are compared with each other;
	// one of 64 KiB has 45 over Ethernet.
	fragmentParts = 48
	// fragmentAge is how long parts are waited for, in nanoseconds (RFC 8200, section
	// 4.5).
	fragmentAge = int64(60 * time.Second)
)

// fragmentKey is what parts of one datagram have in common (RFC 791, section 3.2; RFC
// 8200, section 4.5). An IPv6 datagram is not told apart by its protocol.
type fragmentKey struct {
	src, dst Addr
	id       uint32
	protocol byte
}

// fragmentPlace is where in its datagram a fragment lies, in bytes, and whether more
// follows.
type fragmentPlace struct {
	at   uint32
	more bool
}

// fragmentPart is a part of a datagram, in units of 8 bytes, the end rounded up.
type fragmentPart struct{ from, to uint16 }

// datagram is what is known of one whose fragments arrive.
type datagram struct {
	key              fragmentKey
	used             bool
	hasPorts         bool
	hasFirst         bool
	protocol         byte
	parts            uint8
	srcPort, dstPort uint16
	began, touched   int64
	part             [fragmentParts]fragmentPart
	// head is the beginning of a header of TCP that the first fragment was too short
	// for, and headBytes how much of it is known.
	head      [tcpLength]byte
	headBytes uint8
}

// fragments is the table.
type fragments struct {
	seed  maphash.Seed
	stats FragmentStats
	sets  [fragmentSets][fragmentWays]datagram
}

// fragment reads a fragment: the first gives its ports to those that follow.
func (d *Decoder) fragment(p *Packet, key fragmentKey, protocol byte, place fragmentPlace, data []byte, rest uint32) error {
	if p.Fragment { // a fragment within a fragment
		p.Protocol = protocol
		return ErrExtensions
	}
	p.Fragment, p.LaterFragment = true, place.at > 0
	p.Protocol = protocol
	if place.at+rest > 1<<16-1 || place.more && rest%8 != 0 {
		return ErrLength // RFC 8200, section 4.5; the "ping of death" is one
	}
	if d.fragments == nil {
		d.fragments = &fragments{seed: maphash.MakeSeed()}
	}
	table := d.fragments
	table.stats.Seen++
	g := table.datagram(key, p.Time)
	if g.overlaps(place.at, rest) {
		p.FragmentOverlap = true
		table.stats.Overlaps++
	}
	if p.LaterFragment {
		p.Payload, p.PayloadBytes = data, rest
		if g.hasFirst {
			p.Protocol, p.HasPorts, p.SrcPort, p.DstPort = g.protocol, g.hasPorts, g.srcPort, g.dstPort
			g.continueHead(p, place.at)
		} else {
			table.stats.Unknown++
		}
		return nil
	}
	var err error
	if p.Version == 6 {
		err = d.extensions(p, protocol, data, rest)
	} else {
		err = d.transport(p, protocol, data, rest)
	}
	// Who says first what the ports are is believed; one that overlaps is not.
	if !g.hasFirst {
		g.hasFirst, g.protocol = true, p.Protocol
		g.hasPorts, g.srcPort, g.dstPort = p.HasPorts, p.SrcPort, p.DstPort
		if protocol == protoTCP && rest < tcpLength {
			g.headBytes = uint8(copy(g.head[:], data))
		}
	}
	return err
}

// tcpFlagsAt is where the flags lie in a header of TCP.
const tcpFlagsAt = 13

// continueHead takes what a later fragment has of a header of TCP. Nobody cuts so short
// but who wants to hide the flags (RFC 1858, section 3): the fragment in which they are
// has them.
func (g *datagram) continueHead(p *Packet, at uint32) {
	if g.headBytes == 0 || g.headBytes == tcpLength || at != uint32(g.headBytes) {
		return
	}
	n := copy(g.head[g.headBytes:], p.Payload)
	had := g.headBytes
	g.headBytes += uint8(n)
	p.Payload, p.PayloadBytes = p.Payload[n:], p.PayloadBytes-uint32(n)
	if had <= tcpFlagsAt && g.headBytes > tcpFlagsAt {
		p.Flags = g.head[tcpFlagsAt]
		p.Seq, p.Ack = be32(g.head[4:8]), be32(g.head[8:12])
	}
}

// datagram finds or makes a datagram's entry.
func (t *fragments) datagram(key fragmentKey, now int64) *datagram {
	set := &t.sets[t.hash(&key)%fragmentSets]
	oldest := &set[0]
	for i := range set {
		g := &set[i]
		if g.used && g.key == key && now-g.began <= fragmentAge {
			g.touched = now
			return g
		}
		if oldest.used && (!g.used || g.touched < oldest.touched) {
			oldest = g
		}
	}
	if oldest.used && now-oldest.began <= fragmentAge {
		t.stats.Evicted++
	}
	*oldest = datagram{key: key, used: true, began: now, touched: now}
	return oldest
}

// hash spreads keys so that nobody who does not know the seed can aim at one set.
func (t *fragments) hash(key *fragmentKey) uint64 {
	var b [37]byte
	copy(b[0:16], key.src[:])
	copy(b[16:32], key.dst[:])
	binary.LittleEndian.PutUint32(b[32:36], key.id)
	b[36] = key.protocol
	return maphash.Bytes(t.seed, b[:])
}

// overlaps says whether a part overlaps one seen before without being the same, and
// keeps it for the next.
func (g *datagram) overlaps(at, length uint32) bool {
	part := fragmentPart{from: uint16(at / 8), to: uint16((at + length + 7) / 8)}
	overlap := false
	for _, other := range g.part[:g.parts] {
		if part == other {
			return false
		}
		if part.from < other.to && other.from < part.to {
			overlap = true
		}
	}
	if int(g.parts) < len(g.part) {
		g.part[g.parts] = part
		g.parts++
	}
	return overlap
}
