// Package packet reads one captured frame, from its link layer through tags and
// tunnels to the payload of its transport.
//
// A Packet is made once and filled again and again: decoding allocates nothing and
// keeps no byte. What is malformed is an error of a named kind, to be counted.
//
// Every length is what headers say, never what a capture happened to keep: a frame
// that was cut to 96 bytes counts as much as the whole one.
package packet

// Link is a link-layer type as the LINKTYPE registry of pcap files numbers it
// (draft-ietf-opsawg-pcaplinktype).
type Link uint16

// The link types that Decode reads.
const (
	LinkNull     Link = 0   // BSD loopback, host byte order
	LinkEthernet Link = 1   // IEEE 802.3
	LinkPPP      Link = 9   // RFC 1661, with or without the header of RFC 1662, or Cisco HDLC
	LinkPPPHDLC  Link = 50  // RFC 1662, or Cisco HDLC
	LinkRaw      Link = 101 // IPv4 or IPv6
	LinkHDLC     Link = 104 // Cisco HDLC (RFC 1547, section 4.3.1)
	LinkWiFi     Link = 105 // IEEE 802.11
	LinkLoop     Link = 108 // OpenBSD loopback, network byte order
	LinkCooked   Link = 113 // Linux SLL
	LinkRadiotap Link = 127 // IEEE 802.11 after radiotap
	LinkIPv4     Link = 228
	LinkIPv6     Link = 229
	LinkCooked2  Link = 276 // Linux SLL2
)

// MAC is an IEEE 802 address.
type MAC [6]byte

// Frame is what a source captured.
type Frame struct {
	// Time is when, in Unix nanoseconds.
	Time int64
	// Data is what was kept of the frame. It belongs to the source and is valid
	// until its next read.
	Data []byte
	// Wire is the frame's length in bytes before a snap length cut it.
	Wire uint32
	Link Link
	// Interface numbers the interface among those of the source.
	Interface uint16
	// GSOSize is the payload of each segment but the last, in bytes, where the
	// kernel gave one frame for many segments (virtio_net_hdr gso_size); else 0.
	GSOSize uint16
}

// TCP flags as they lie in the header (RFC 9293, section 3.1).
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Tunnel is one header that carried the packet.
type Tunnel struct {
	Kind TunnelKind
	// ID is its key: VLAN id, MPLS label, VNI, TEID, GRE key, PPPoE or ERSPAN
	// session; of L2TP the tunnel in the upper 16 bits and the session in the lower.
	ID uint32
}

// TunnelKind says what carried a packet.
type TunnelKind uint8

// The tunnels and tags that Decode unwraps.
const (
	TunnelNone TunnelKind = iota
	TunnelVLAN
	TunnelMPLS
	TunnelPPPoE
	TunnelGRE
	TunnelVXLAN
	TunnelGeneve
	TunnelIPIP
	TunnelGTPU
	TunnelERSPAN
	TunnelTeredo
	TunnelL2TP
)

// MaxTunnels is how many headers around a packet are unwrapped; one with more is
// malformed, so that a loop of tunnels costs a bounded time.
const MaxTunnels = 8

// Packet is a decoded frame. Slices point into the frame and are valid as long as
// its Data.
type Packet struct {
	Time      int64  // Unix nanoseconds
	Wire      uint32 // bytes of the frame on the wire, all segments together
	Interface uint16
	// Segments is how many transport segments the frame stands for, at least 1.
	Segments uint16

	SrcMAC, DstMAC MAC // of the outermost frame; zero without
	// EtherType is of the innermost frame, behind tags.
	EtherType uint16
	// Tunnels holds the headers around the packet, the outermost first; what lies
	// beyond TunnelCount is of earlier packets.
	Tunnels     [MaxTunnels]Tunnel
	TunnelCount uint8
	// OuterSrc and OuterDst are the addresses of the outermost IP header where another lies
	// within it, zero else; OuterAt is how many of Tunnels are around it.
	OuterSrc, OuterDst Addr
	OuterAt            uint8

	// Of the innermost IP header; Version is 0 where there is none (ARP).
	Version  uint8
	Protocol uint8 // IANA number behind extension headers
	TTL      uint8
	Src, Dst Addr
	// IPBytes is the length of header and payload of the IP packet in bytes; of many
	// segments it is the sum, each with its own headers.
	IPBytes uint32
	// Fragment marks a part of a datagram. Ports are known in a later one only where
	// a Decoder had seen the first. The payload of a later one begins anywhere in
	// that of the datagram. FragmentOverlap marks one that says again, and maybe
	// otherwise, what an earlier one had said (RFC 5722).
	Fragment, LaterFragment, FragmentOverlap bool

	// Of the transport. ICMP has its type and code here.
	HasPorts           bool // of TCP, UDP, SCTP, UDP-Lite and DCCP
	SrcPort, DstPort   uint16
	ICMPType, ICMPCode uint8
	EchoID             uint16 // identifier of an ICMP echo or its reply, else 0
	Flags              uint8  // TCP
	Seq, Ack           uint32
	Window             uint16
	Options            []byte // of TCP, raw
	// Payload is what was captured above the transport; PayloadBytes is how much
	// there was, by the headers.
	Payload      []byte
	PayloadBytes uint32
}
