package bpf

import (
	"fmt"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// LinkType says which header a frame begins with, by its number in the
// LINKTYPE registry of pcap files. The numbers are not in each case those of
// DLT_ in C.
//
// Filters are compiled for Ethernet, PPP, raw IP, the loopbacks of BSD and the
// cooked captures of Linux. VLAN tags are taken to be in the frame. The family
// of addresses in LinkNull, which is in the byte order of the host that
// captured, is taken for little-endian.
type LinkType = packet.Link

func supported(l LinkType) bool {
	switch l {
	case packet.LinkNull, packet.LinkEthernet, packet.LinkPPP, packet.LinkRaw, packet.LinkLoop,
		packet.LinkCooked, packet.LinkCooked2, packet.LinkIPv4, packet.LinkIPv6:
		return true
	default:
		return false
	}
}

// linkName is the name of a link type in words, with the one of the registry.
func linkName(l LinkType) string {
	switch l {
	case packet.LinkNull:
		return "BSD loopback (NULL)"
	case packet.LinkEthernet:
		return "Ethernet (EN10MB)"
	case packet.LinkPPP:
		return "PPP"
	case packet.LinkRaw:
		return "raw IP (RAW)"
	case packet.LinkIPv4:
		return "raw IPv4 (IPV4)"
	case packet.LinkIPv6:
		return "raw IPv6 (IPV6)"
	case packet.LinkLoop:
		return "OpenBSD loopback (LOOP)"
	case packet.LinkCooked:
		return "Linux cooked capture (LINUX_SLL)"
	case packet.LinkCooked2:
		return "Linux cooked capture v2 (LINUX_SLL2)"
	case packet.LinkWiFi:
		return "802.11 (IEEE802_11)"
	case packet.LinkRadiotap:
		return "802.11 with radiotap (IEEE802_11_RADIO)"
	default:
		return fmt.Sprintf("link type %d", uint16(l))
	}
}
