package track

import (
	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// IDOf tells which flow a packet is of: what its Community ID is made of, in an order
// that is the same for both directions, so that ids can be compared. The packet has an
// IP header (its Version is not 0).
func IDOf(p *packet.Packet, seed uint16) entity.FlowID {
	var k key
	k.readBare(p, false)
	id := entity.FlowID{Seed: seed, Protocol: k.protocol, Src: k.first, Dst: k.second}
	if k.kind != byAddresses {
		id.HasPorts, id.SrcPort, id.DstPort = true, k.firstPort(), k.secondPort()
		id.OneWay = k.kind == byMessage
	}
	return id
}
