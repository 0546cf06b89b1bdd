package packet

import (
	"errors"
	"testing"
)

// FuzzDecode: whatever a frame holds, lengths hold and slices lie within it.
func FuzzDecode(f *testing.F) {
	for _, c := range decodeCases() {
		f.Add(uint16(c.link), uint32(0), uint16(0), c.data)
		f.Add(uint16(c.link), uint32(len(c.data)+1400), uint16(100), c.data[:len(c.data)*3/4])
	}
	f.Add(uint16(LinkEthernet), uint32(0), uint16(0), part(1, 0, true, make([]byte, 64)))
	f.Add(uint16(LinkEthernet), uint32(0), uint16(0), part(1, 64, false, make([]byte, 9)))
	var d Decoder
	f.Fuzz(func(t *testing.T, link uint16, wire uint32, gso uint16, data []byte) {
		var p Packet
		wire %= 1 << 20
		frame := Frame{Data: data, Wire: wire, Link: Link(link), GSOSize: gso}
		var fault Fault
		if err := d.Decode(&frame, &p); err != nil && (!errors.As(err, &fault) || int(fault) >= Faults || fault.Kind() == "unknown" || fault.Error() == "unknown fault") {
			t.Fatalf("an error of no kind: %v", err)
		} else if err != nil {
			return
		}
		length := max(wire, uint32(len(data)))
		switch {
		case p.Segments < 1 || p.TunnelCount > MaxTunnels:
			t.Fatalf("%d segments, %d tunnels", p.Segments, p.TunnelCount)
		case p.Segments == 1 && (p.Wire != length || p.IPBytes > length || p.PayloadBytes > p.IPBytes):
			t.Fatalf("wire %d, IP %d, payload %d", p.Wire, p.IPBytes, p.PayloadBytes)
		case uint32(len(p.Payload)) > p.PayloadBytes || len(p.Payload) > len(data) || len(p.Options) > 40:
			t.Fatalf("%d of %d bytes of payload, %d of options", len(p.Payload), p.PayloadBytes, len(p.Options))
		case p.Version == 0 && (p.HasPorts || p.PayloadBytes > 0):
			t.Fatalf("ports or payload without IP: %+v", p)
		}
	})
}
