package track

import (
	"slices"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// services are ports above 1023 on which servers listen, from IANA's registry of
// service names: a side with one of them, or with a port below 1024, answers.
//
//nolint:gochecknoglobals // a table that is only read, on the way of each flow
var services = []uint16{
	1080, 1194, 1433, 1521, 1701, 1723, 1812, 1813, 1883, 1900, 2049, 2055, 2152, 2181, 2379, 2404, 3128, 3268, 3306, 3389, 3478,
	4369, 4500, 4739, 4789, 5004, 5060, 5061, 5222, 5269, 5353, 5355, 5432, 5601, 5671, 5672, 5683, 5684, 5900, 5985, 5986,
	6081, 6343, 6379, 6443, 6881, 8080, 8086, 8443, 8883, 9000, 9042, 9090, 9092, 9100, 9200, 9418, 9999, 10050, 10051, 11211,
	19132, 20000, 25565, 27017, 44818, 47808, 51820,
}

// Serves reports whether servers listen on a port, by its number alone.
func Serves(port uint16) bool {
	if port < 1024 {
		return true
	}
	_, found := slices.BinarySearch(services, port)
	return found
}

// guess says by its first packet whether the sender of it began a flow, and whether
// that is sure.
//
// A SYN is sent by who began, a SYN with ACK by who answers; so are the two types of
// an ICMP exchange, and INIT of SCTP (RFC 9260). A broadcast or multicast is never an
// answer. Else, as when the capture began in the middle: who alone has a port that
// servers use answers; in TCP, where neither or both do, the lower port answers; in
// all other cases who was seen first began.
func guess(p *packet.Packet) (began, certain bool) {
	switch {
	case p.Protocol == protoTCP && p.HasPorts:
		if p.Flags&packet.SYN != 0 {
			return p.Flags&packet.ACK == 0, true
		}
	case p.Protocol == protoICMP || p.Protocol == protoICMPv6:
		if other, paired := Counterpart(p.Protocol, p.ICMPType); paired && !p.LaterFragment {
			return Asks(p.Protocol, p.ICMPType) || other == p.ICMPType, true
		}
		return true, true
	case p.Protocol == protoSCTP && len(p.Payload) > 0 && (p.Payload[0] == 1 || p.Payload[0] == 2):
		return p.Payload[0] == 1, true
	}
	if !p.HasPorts || p.Dst.ToMany() {
		return true, false
	}
	from, to := Serves(p.SrcPort), Serves(p.DstPort)
	switch {
	case from != to:
		return to, false
	case p.Protocol == protoTCP && p.SrcPort != p.DstPort:
		return p.SrcPort > p.DstPort, false
	}
	return true, false
}
