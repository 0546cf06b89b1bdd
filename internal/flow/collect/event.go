package collect

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// EventOptions say how records become events.
type EventOptions struct {
	// Seed is that of Community IDs.
	Seed uint16
}

// Event makes flow.ended of a record. It says nothing of host and agent: the host is
// the one that collects, and the exporter is a field (exporter_ip).
//
// The event's time is when the flow ended, unless the exporter's clock is off by more
// than a day behind or five minutes ahead: then it is when the record came. Start and
// end stay as the exporter told them.
func (o EventOptions) Event(r *Record) *pb.Event {
	n := &pb.NetworkActivity{
		SrcEndpoint:    endpoint(r.Src, r.SrcPort, r.SrcMAC, r.Input, r.SrcAS),
		DstEndpoint:    endpoint(r.Dst, r.DstPort, r.DstMAC, r.Output, r.DstAS),
		ProtocolName:   tell.ProtocolName(r.Protocol),
		ProtocolNumber: uint32(r.Protocol),
		Direction:      tell.Surroundings{}.Direction(r.Src, r.Dst),
		CommunityId:    o.communityID(r),
		StartTime:      timestamppb.New(time.Unix(0, r.Start)),
		EndTime:        timestamppb.New(time.Unix(0, r.End)),
		BytesOut:       r.Out.Bytes, PacketsOut: r.Out.Packets,
		BytesIn: r.In.Bytes, PacketsIn: r.In.Packets,
		EndReason:  endReason(r),
		OneSided:   r.OneSided,
		Midstream:  r.Continued,
		ExporterIp: r.Exporter.String(),
	}
	n.SrcEndpoint.VlanId = uint32(r.VLAN)
	if r.Protocol == protoTCP {
		n.TcpFlagsOut, n.TcpFlagsIn = tell.Flags(r.Out.Flags), tell.Flags(r.In.Flags)
	}
	if r.HasICMP {
		n.IcmpType, n.IcmpCode = uint32(r.ICMPType), uint32(r.ICMPCode)
		n.SrcEndpoint.Port, n.DstEndpoint.Port = 0, 0
	}
	if r.SamplingRate > 1 {
		n.SamplingRate = r.SamplingRate
	}
	at := r.End
	if at < r.Received-int64(24*time.Hour) || at > r.Received+int64(5*time.Minute) {
		at = r.Received
	}
	return &pb.Event{
		Type: event.TypeFlowEnded, Time: timestamppb.New(time.Unix(0, at)),
		Body: &pb.Event_Network{Network: n},
	}
}

func endpoint(a packet.Addr, port uint16, mac packet.MAC, index, as uint32) *pb.Endpoint {
	e := &pb.Endpoint{Ip: tell.Address(a), Port: uint32(port), Mac: tell.Hardware(mac), AsNumber: as}
	if index != 0 {
		e.InterfaceName = "ifindex:" + strconv.FormatUint(uint64(index), 10)
	}
	return e
}

func (o EventOptions) communityID(r *Record) string {
	id := entity.FlowID{Seed: o.Seed, Protocol: r.Protocol, Src: r.Src, Dst: r.Dst}
	if hasPorts(r.Protocol) || r.HasICMP {
		id.HasPorts = true
		id.SrcPort, id.DstPort = r.ports()
		id.OneWay = isMessage(r)
	}
	return id.CommunityID()
}

// endReason is the exporter's reason (IANA, flowEndReason), or what TCP flags tell.
func endReason(r *Record) string {
	flags := r.Out.Flags | r.In.Flags
	tcp := ""
	if r.Protocol == protoTCP {
		switch {
		case flags&packet.RST != 0:
			tcp = "reset"
		case flags&packet.FIN != 0:
			tcp = "fin"
		}
	}
	switch r.EndReason {
	case 1:
		return "idle"
	case 2:
		return "active_timeout"
	case 4:
		return "shutdown"
	case 5:
		return "evicted"
	}
	return tcp
}
