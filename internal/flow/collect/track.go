package collect

import (
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Flow is the record as a flow of our own table would be, for who looks for what
// flows mean. State is as far as flags tell it, and payload is what is left of the
// bytes beyond the shortest headers. A time that lies ahead of its arrival, or a day
// behind, is of a clock that is wrong: the flow is then moved to end as it came.
func (r *Record) Flow() track.Flow {
	f := track.Flow{
		Tuple: dissect.Tuple{Src: r.Src, Dst: r.Dst, SrcPort: r.SrcPort, DstPort: r.DstPort, Protocol: r.Protocol},
		First: r.Start, Last: r.End, Out: r.side(r.Out), In: r.side(r.In), OneSided: r.OneSided, Midstream: r.Continued, End: r.reason(),
		VLAN: r.VLAN, SrcMAC: r.SrcMAC, DstMAC: r.DstMAC,
	}
	if r.HasICMP {
		f.SrcPort, f.DstPort = r.ports()
	}
	if r.Protocol == protoTCP {
		r.follow(&f)
	}
	if f.Last > r.Received || f.Last < r.Received-day {
		f.First, f.Last = r.Received-(f.Last-f.First), r.Received
	}
	return f
}

// day is in nanoseconds.
const day = int64(24 * 3600e9)

// side makes a side of a count.
func (r *Record) side(c Count) track.Side {
	headers := uint64(20)
	if !r.Src.Is4() {
		headers = 40
	}
	switch {
	case r.Protocol == protoTCP:
		headers += 20
	case hasPorts(r.Protocol) || r.HasICMP:
		headers += 8
	}
	s := track.Side{Packets: c.Packets, Bytes: c.Bytes, Flags: c.Flags}
	var more uint64
	if r.Protocol == protoTCP { // With options as Linux sends them: time stamps, and more in a SYN.
		headers += 12
		if c.Flags&packet.SYN != 0 {
			more = 8
		}
	}
	if all := multiply(c.Packets, headers) + more; c.Bytes > all {
		s.Payload = c.Bytes - all
	}
	if c.Flags&packet.PSH != 0 { // Which only segments with payload have (RFC 9293, section 3.9.1).
		s.Payload = max(1, s.Payload)
	}
	return s
}

// follow says what TCP did as far as flags tell. Which side reset or closed first they
// do not tell: a reset is taken for that of the side which sent one, and a close for the
// initiator's.
func (r *Record) follow(f *track.Flow) {
	out, in := r.Out.Flags, r.In.Flags
	asked, agreed := out&packet.SYN != 0, in&packet.SYN != 0
	f.Midstream = r.Continued || !asked && !agreed
	reset := (out|in)&packet.RST != 0
	f.Closed = reset || (out|in)&packet.FIN != 0
	if in&packet.RST != 0 && out&packet.RST == 0 {
		f.ClosedBy = dissect.FromResponder
	}
	switch {
	case asked && agreed && out&packet.RST != 0:
		f.State = "RSTO"
	case asked && agreed && reset:
		f.State = "RSTR"
	case asked && agreed && out&in&packet.FIN != 0:
		f.State = "SF"
	case asked && agreed && out&packet.FIN != 0:
		f.State = "S2"
	case asked && agreed && in&packet.FIN != 0:
		f.State, f.ClosedBy = "S3", dissect.FromResponder
	case asked && agreed:
		f.State = "S1"
	case asked && in&packet.RST != 0:
		f.State = "REJ"
	case asked && reset:
		f.State = "RSTOS0"
	case asked && in == 0 && out&packet.FIN != 0:
		f.State = "SH"
	case asked && in == 0 && r.In.Packets == 0:
		f.State = "S0"
	default:
		f.State = "OTH"
	}
}

func (r *Record) reason() track.End {
	switch endReason(r) {
	case "fin":
		return track.Finished
	case "reset":
		return track.Reset
	case "shutdown":
		return track.Shutdown
	case "evicted":
		return track.Evicted
	}
	return track.Idle
}
