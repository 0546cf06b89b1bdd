package packet

import "encoding/binary"

// Bits of an IEEE 802.11 frame's control field, as they lie in its two bytes (IEEE
// 802.11-2020, 9.2.4.1).
const (
	wifiTypeMask   = 0x0c
	wifiTypeData   = 0x08
	wifiNoData     = 0x40 // of a data frame: it carries none
	wifiQoS        = 0x80 // of a data frame
	wifiToDS       = 0x01
	wifiFromDS     = 0x02
	wifiProtected  = 0x40
	wifiOrder      = 0x80 // with QoS: a field HT Control follows
	wifiAggregated = 0x80 // of the field QoS Control: the body is an A-MSDU
)

// wifi reads an IEEE 802.11 frame. Management, control and encrypted frames carry no
// IP that one could read. Of an aggregate (A-MSDU) the first packet alone is read.
// padded says that the body begins at a multiple of 4 bytes.
func (d *Decoder) wifi(p *Packet, data []byte, rest uint32, padded bool) error {
	if len(data) < 2 {
		return lack(rest, 2)
	}
	kind, flags := data[0], data[1]
	if kind&wifiTypeMask != wifiTypeData || kind&wifiNoData != 0 || flags&wifiProtected != 0 {
		return nil
	}
	header := uint32(24)
	if flags&(wifiToDS|wifiFromDS) == wifiToDS|wifiFromDS {
		header += 6
	}
	qos := header
	if kind&wifiQoS != 0 {
		header += 2
		if flags&wifiOrder != 0 {
			header += 4
		}
	}
	if padded {
		header = (header + 3) &^ 3
	}
	if uint32(len(data)) < header {
		return lack(rest, header)
	}
	p.wifiAddresses(data, flags)
	aggregated := kind&wifiQoS != 0 && data[qos]&wifiAggregated != 0
	data, rest = data[header:], rest-header
	if aggregated { // destination, source and length before each packet
		if len(data) < ethernetLength {
			return lack(rest, ethernetLength)
		}
		data, rest = data[ethernetLength:], rest-ethernetLength
	}
	return d.llc(p, data, rest)
}

// wifiAddresses takes source and destination from among the addresses, whose order
// follows from who the distribution system is (IEEE 802.11-2020, table 9-30).
func (p *Packet) wifiAddresses(data []byte, flags byte) {
	first, second, third := MAC(data[4:10]), MAC(data[10:16]), MAC(data[16:22])
	switch flags & (wifiToDS | wifiFromDS) {
	case 0:
		p.DstMAC, p.SrcMAC = first, second
	case wifiToDS:
		p.DstMAC, p.SrcMAC = third, second
	case wifiFromDS:
		p.DstMAC, p.SrcMAC = first, third
	default:
		p.DstMAC, p.SrcMAC = third, MAC(data[24:30])
	}
}

// radiotap passes the header that drivers put before an IEEE 802.11 frame
// (radiotap.org), and learns from it whether the frame's header is padded.
func (d *Decoder) radiotap(p *Packet, data []byte, rest uint32) error {
	if len(data) < 8 {
		return lack(rest, 8)
	}
	length := uint32(binary.LittleEndian.Uint16(data[2:4]))
	if data[0] != 0 || length < 8 || length > rest {
		return ErrLength
	}
	if length > uint32(len(data)) {
		return ErrCut
	}
	return d.wifi(p, data[length:], rest-length, radiotapPadded(data[:length]))
}

// radiotapPadded reads the field Flags, which follows the presence words and the
// 8-byte field TSFT where that is present.
func radiotapPadded(header []byte) bool {
	const tsft, flags, more, datapad = 1, 2, 1 << 31, 0x20
	present := binary.LittleEndian.Uint32(header[4:8])
	at := 8
	for word := present; word&more != 0; at += 4 {
		if at+4 > len(header) {
			return false
		}
		word = binary.LittleEndian.Uint32(header[at : at+4])
	}
	if present&flags == 0 {
		return false
	}
	if present&tsft != 0 {
		at = (at+7)&^7 + 8
	}
	return at < len(header) && header[at]&datapad != 0
}
