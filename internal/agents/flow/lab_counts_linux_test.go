package flow

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// TestLabLoss: over a link that loses and reorders, each host's flows have the frames,
// bytes and flows that tcpdump and the interface count, and the retransmissions that
// the kernel sent.
func TestLabLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	l := newLossyLab(t)
	dumped := l.tcpdump(l.a, "a0")
	atA, atB := l.watch(l.a, "a0"), l.watch(l.b, "b0")
	framesBefore, bytesBefore := l.countsOfA()
	l.transfers(6, 300_000)
	l.datagrams()
	a, b := atA(), atB()
	frames, bytes := l.countsOfA()
	tcpdump, tcpA, tcpB := dumped(), l.tcpCounts(l.a), l.tcpCounts(l.b)
	t.Logf("%d frames, %d bytes of IP, %d flows; a sent %d segments again of %d, b %d of %d",
		a.stats.Frames, a.bytes, len(a.flows), tcpA["RetransSegs"], tcpA["OutSegs"], tcpB["RetransSegs"], tcpB["OutSegs"])

	l.same("frames as the interface counts", a.stats.Frames, frames-framesBefore)
	l.same("bytes as the interface counts", a.stats.Bytes, bytes-bytesBefore)
	l.same("frames as tcpdump has them", a.stats.Frames, tcpdump.frames)
	l.same("bytes as tcpdump has them", a.stats.Bytes, tcpdump.bytes)
	l.same("packets of IP", a.packets, tcpdump.packets)
	l.same("bytes of IP", a.bytes, tcpdump.ipBytes)
	l.same("flows", uint64(len(a.flows)), uint64(len(tcpdump.flows)))
	l.same("faults", sumOf(a.counts.Faults)+sumOf(b.counts.Faults), 0)

	l.same("segments that a sent", a.out.Packets, tcpA["OutSegs"]+tcpA["RetransSegs"])
	l.same("segments that came to a", a.in.Packets, tcpA["InSegs"])
	l.same("segments that b sent", b.in.Packets, tcpB["OutSegs"]+tcpB["RetransSegs"])
	l.same("segments that came to b", b.out.Packets, tcpB["InSegs"])
	l.same("what a sent again", uint64(a.out.Retransmissions), tcpA["RetransSegs"])
	l.same("what b sent again", uint64(b.in.Retransmissions), tcpB["RetransSegs"])
	if tcpA["RetransSegs"] == 0 {
		t.Error("nothing was lost, so that the lab shows nothing")
	}
	for _, f := range a.flows {
		if f.Protocol == unix.IPPROTO_TCP && (f.State != "SF" || f.End != track.Finished) {
			t.Errorf("a connection ended as %s, %s", f.State, f.End)
		}
	}
}

// TestLabSegments: with segmentation left to cards, flows have as many segments as the
// kernel says, and the bytes that these had on a wire.
func TestLabSegments(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	l := newLab(t)
	dumped := l.tcpdump(l.a, "a0")
	atA, atB := l.watch(l.a, "a0"), l.watch(l.b, "b0")
	framesBefore, bytesBefore := l.countsOfA()
	l.transfers(2, 2<<20)
	a, b := atA(), atB()
	frames, bytes := l.countsOfA()
	tcpdump, tcpA, tcpB := dumped(), l.tcpCounts(l.a), l.tcpCounts(l.b)
	if !a.stats.SegmentsKnown {
		t.Skip("this kernel does not tell of segments in a ring of version 3")
	}
	t.Logf("%d segments in %d frames; a: out %d, in %d; b: out %d, in %d",
		a.packets, a.stats.Frames, tcpA["OutSegs"], tcpA["InSegs"], tcpB["OutSegs"], tcpB["InSegs"])
	l.same("frames as the interface counts", a.stats.Frames, frames-framesBefore)
	l.same("bytes as the interface counts", a.stats.Bytes, bytes-bytesBefore)
	l.same("frames as tcpdump has them", a.stats.Frames, tcpdump.frames)
	l.same("segments that a sent", a.out.Packets, tcpA["OutSegs"]+tcpA["RetransSegs"])
	l.same("segments that b sent", a.in.Packets, tcpB["OutSegs"]+tcpB["RetransSegs"])
	l.same("segments of both", a.packets, tcpdump.segments)
	l.same("segments as b sees them", b.packets, a.packets)
	// What came in at once counts once in InSegs.
	l.same("frames that came to hosts", tcpdump.packets, tcpA["InSegs"]+tcpB["InSegs"])
	l.same("bytes of IP", a.bytes, tcpdump.ipBytes+tcpdump.segmentHeaders)
	l.same("bytes of IP as b sees them", b.bytes, a.bytes)
	l.same("flows", uint64(len(a.flows)), uint64(len(tcpdump.flows)))
	if a.stats.Frames >= a.packets {
		t.Errorf("%d frames with %d segments: nothing was left to a card", a.stats.Frames, a.packets)
	}
}

func sumOf(faults [packet.Faults]uint64) (sum uint64) {
	for _, n := range faults {
		sum += n
	}
	return sum
}

// seenByTcpdump is what a file of tcpdump has, read by a few lines that share nothing
// with what they judge.
type seenByTcpdump struct {
	frames, bytes, packets, ipBytes uint64
	segments, segmentHeaders        uint64 // of TCP, and their headers beyond those in frames
	flows                           map[[13]byte]bool
}

func readTcpdump(data []byte) *seenByTcpdump {
	s := &seenByTcpdump{flows: map[[13]byte]bool{}}
	for at := 24; at+16 <= len(data); {
		kept, wire := binary.NativeEndian.Uint32(data[at+8:]), binary.NativeEndian.Uint32(data[at+12:])
		frame := data[at+16 : at+16+int(kept)]
		at += 16 + int(kept)
		s.frames++
		s.bytes += uint64(wire)
		if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP {
			continue
		}
		s.packet(frame[14:])
	}
	return s
}

func (s *seenByTcpdump) packet(h []byte) {
	length := uint64(binary.BigEndian.Uint16(h[2:]))
	s.packets++
	s.ipBytes += length
	var k [13]byte
	k[12] = h[9]
	from, to := [6]byte(append(append([]byte{}, h[12:16]...), h[20:22]...)), [6]byte(append(append([]byte{}, h[16:20]...), h[22:24]...))
	switch {
	case h[9] == unix.IPPROTO_ICMP: // a refusal: one direction
		from, to = [6]byte(h[12:18]), [6]byte(h[16:22])
		from[4], from[5], to[4], to[5] = h[20], 0, h[21], 0
	case binary.BigEndian.Uint16(h[6:])&0x1fff != 0:
		return // a later fragment is of the flow of its first
	case string(from[:]) > string(to[:]):
		from, to = to, from
	}
	copy(k[:6], from[:])
	copy(k[6:], to[:])
	s.flows[k] = true
	if h[9] == unix.IPPROTO_TCP {
		header := 20 + uint64(h[32]>>4)*4
		segments := max(1, (length-header+labMSS-1)/labMSS)
		s.segments += segments
		s.segmentHeaders += (segments - 1) * header
	}
}
