package packet

import "testing"

func BenchmarkDecode(b *testing.B) {
	payload := make([]byte, 512)
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"TCP", ether(etherIPv4, ipv4(protoTCP, tcpWith(ACK, make([]byte, 12), payload)))},
		{"UDP", ether(etherIPv4, ipv4(protoUDP, udp(40000, 53, payload)))},
		{"IPv6", ether(etherIPv6, ipv6(protoTCP, tcp(payload)))},
		{"VLAN", ether(etherVLAN, vlan(5, etherIPv4, ipv4(protoTCP, tcp(payload))))},
		{"VXLAN", ether(etherIPv4, ipv4(protoUDP, udp(9, portVXLAN, join(u32(0x08000000), u32(77<<8), ether(etherIPv4, inner())))))},
		{"fragment", ether(etherIPv4, ipv4With(protoUDP, 0x2000, nil, udp(1, 2, payload)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			var d Decoder
			var p Packet
			f := Frame{Data: c.data, Wire: uint32(len(c.data)), Link: LinkEthernet}
			for b.Loop() {
				if err := d.Decode(&f, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
