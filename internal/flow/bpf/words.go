package bpf

// word is a word of the language. Several spellings may be one word.
type word uint8

const (
	wordNone word = iota
	wordAnd
	wordOr
	wordNot
	wordSrc
	wordDst
	wordHost
	wordNet
	wordMask
	wordPort
	wordPortrange
	wordProto
	wordProtochain
	wordGateway
	wordLess
	wordGreater
	wordByte
	wordBroadcast
	wordMulticast
	wordLen
	wordInbound
	wordOutbound
	wordIfindex
	wordVLAN
	wordMPLS
	wordPPPoED
	wordPPPoES
	wordGeneve
	wordLLC
	wordConst    // a number that has a name
	wordProtocol // a protocol: num is its proto
	wordElse     // known, and of no use on the links that we know
)

// proto is a protocol that a filter can name.
type proto uint8

const (
	protoAny proto = iota
	protoLink
	protoIP
	protoARP
	protoRARP
	protoSCTP
	protoTCP
	protoUDP
	protoICMP
	protoIGMP
	protoIGRP
	protoPIM
	protoVRRP
	protoCARP
	protoIPv6
	protoICMPv6
	protoAH
	protoESP
	protoAppleTalk
	protoAARP
	protoDECnet
	protoLAT
	protoSCA
	protoMOPRC
	protoMOPDL
	protoISO
	protoESIS
	protoISIS
	protoCLNP
	protoISISL1
	protoISISL2
	protoIIH
	protoLSP
	protoSNP
	protoCSNP
	protoPSNP
	protoSTP
	protoIPX
	protoNetBEUI
	protoRadio
)

// meaning is what a spelling stands for.
type meaning struct {
	word word
	num  uint32
}

func constant(n uint32) meaning { return meaning{wordConst, n} }
func ofProto(p proto) meaning   { return meaning{wordProtocol, uint32(p)} }

// words are the words of pcap-filter(7), with the numbers that RFC 792 (ICMP),
// the IANA registry of ICMPv6 and RFC 9293 (TCP) give to the named ones.
//
//nolint:gochecknoglobals // a table that nothing writes to
var words = map[string]meaning{
	"and": {wordAnd, 0}, "or": {wordOr, 0}, "not": {wordNot, 0},
	"src": {wordSrc, 0}, "dst": {wordDst, 0},
	"host": {wordHost, 0}, "net": {wordNet, 0}, "mask": {wordMask, 0},
	"port": {wordPort, 0}, "portrange": {wordPortrange, 0},
	"proto": {wordProto, 0}, "protochain": {wordProtochain, 0}, "gateway": {wordGateway, 0},
	"less": {wordLess, 0}, "greater": {wordGreater, 0}, "byte": {wordByte, 0},
	"broadcast": {wordBroadcast, 0}, "multicast": {wordMulticast, 0},
	"len": {wordLen, 0}, "length": {wordLen, 0},
	"inbound": {wordInbound, 0}, "outbound": {wordOutbound, 0}, "ifindex": {wordIfindex, 0},
	"vlan": {wordVLAN, 0}, "mpls": {wordMPLS, 0},
	"pppoed": {wordPPPoED, 0}, "pppoes": {wordPPPoES, 0}, "geneve": {wordGeneve, 0}, "llc": {wordLLC, 0},

	"link": ofProto(protoLink), "ether": ofProto(protoLink), "ppp": ofProto(protoLink), "slip": ofProto(protoLink),
	"fddi": ofProto(protoLink), "tr": ofProto(protoLink), "wlan": ofProto(protoLink),
	"ip": ofProto(protoIP), "arp": ofProto(protoARP), "rarp": ofProto(protoRARP),
	"sctp": ofProto(protoSCTP), "tcp": ofProto(protoTCP), "udp": ofProto(protoUDP),
	"icmp": ofProto(protoICMP), "igmp": ofProto(protoIGMP), "igrp": ofProto(protoIGRP),
	"pim": ofProto(protoPIM), "vrrp": ofProto(protoVRRP), "carp": ofProto(protoCARP),
	"ip6": ofProto(protoIPv6), "icmp6": ofProto(protoICMPv6), "ah": ofProto(protoAH), "esp": ofProto(protoESP),
	"atalk": ofProto(protoAppleTalk), "aarp": ofProto(protoAARP), "decnet": ofProto(protoDECnet),
	"lat": ofProto(protoLAT), "sca": ofProto(protoSCA), "moprc": ofProto(protoMOPRC), "mopdl": ofProto(protoMOPDL),
	"iso": ofProto(protoISO), "esis": ofProto(protoESIS), "es-is": ofProto(protoESIS),
	"isis": ofProto(protoISIS), "is-is": ofProto(protoISIS), "clnp": ofProto(protoCLNP),
	"l1": ofProto(protoISISL1), "l2": ofProto(protoISISL2), "iih": ofProto(protoIIH), "lsp": ofProto(protoLSP),
	"snp": ofProto(protoSNP), "csnp": ofProto(protoCSNP), "psnp": ofProto(protoPSNP),
	"stp": ofProto(protoSTP), "ipx": ofProto(protoIPX), "netbeui": ofProto(protoNetBEUI), "radio": ofProto(protoRadio),

	"icmptype": constant(0), "icmpcode": constant(1),
	"icmp-echoreply": constant(0), "icmp-unreach": constant(3), "icmp-sourcequench": constant(4),
	"icmp-redirect": constant(5), "icmp-echo": constant(8), "icmp-routeradvert": constant(9),
	"icmp-routersolicit": constant(10), "icmp-timxceed": constant(11), "icmp-paramprob": constant(12),
	"icmp-tstamp": constant(13), "icmp-tstampreply": constant(14), "icmp-ireq": constant(15),
	"icmp-ireqreply": constant(16), "icmp-maskreq": constant(17), "icmp-maskreply": constant(18),

	"icmp6type": constant(0), "icmp6code": constant(1),
	"icmp6-destinationunreach": constant(1), "icmp6-packettoobig": constant(2), "icmp6-timeexceeded": constant(3),
	"icmp6-parameterproblem": constant(4), "icmp6-echo": constant(128), "icmp6-echoreply": constant(129),
	"icmp6-multicastlistenerquery": constant(130), "icmp6-multicastlistenerreportv1": constant(131),
	"icmp6-multicastlistenerdone": constant(132), "icmp6-routersolicit": constant(133),
	"icmp6-routeradvert": constant(134), "icmp6-neighborsolicit": constant(135),
	"icmp6-neighboradvert": constant(136), "icmp6-redirect": constant(137), "icmp6-routerrenum": constant(138),
	"icmp6-nodeinformationquery": constant(139), "icmp6-nodeinformationresponse": constant(140),
	"icmp6-ineighbordiscoverysolicit": constant(141), "icmp6-ineighbordiscoveryadvert": constant(142),
	"icmp6-multicastlistenerreportv2": constant(143), "icmp6-homeagentdiscoveryrequest": constant(144),
	"icmp6-homeagentdiscoveryreply": constant(145), "icmp6-mobileprefixsolicit": constant(146),
	"icmp6-mobileprefixadvert": constant(147), "icmp6-certpathsolicit": constant(148),
	"icmp6-certpathadvert": constant(149), "icmp6-multicastrouteradvert": constant(151),
	"icmp6-multicastroutersolicit": constant(152), "icmp6-multicastrouterterm": constant(153),

	"tcpflags": constant(13),
	"tcp-fin":  constant(0x01), "tcp-syn": constant(0x02), "tcp-rst": constant(0x04), "tcp-push": constant(0x08),
	"tcp-ack": constant(0x10), "tcp-urg": constant(0x20), "tcp-ece": constant(0x40), "tcp-cwr": constant(0x80),

	"type": {wordElse, 0}, "subtype": {wordElse, 0}, "dir": {wordElse, 0}, "direction": {wordElse, 0},
	"address1": {wordElse, 0}, "address2": {wordElse, 0}, "address3": {wordElse, 0}, "address4": {wordElse, 0},
	"addr1": {wordElse, 0}, "addr2": {wordElse, 0}, "addr3": {wordElse, 0}, "addr4": {wordElse, 0},
	"ra": {wordElse, 0}, "ta": {wordElse, 0},
	"on": {wordElse, 0}, "ifname": {wordElse, 0}, "rset": {wordElse, 0}, "ruleset": {wordElse, 0},
	"rnr": {wordElse, 0}, "rulenum": {wordElse, 0}, "srnr": {wordElse, 0}, "subrulenum": {wordElse, 0},
	"reason": {wordElse, 0}, "action": {wordElse, 0},
	"lane": {wordElse, 0}, "metac": {wordElse, 0}, "bcc": {wordElse, 0}, "oam": {wordElse, 0},
	"oamf4": {wordElse, 0}, "oamf4ec": {wordElse, 0}, "oamf4sc": {wordElse, 0}, "sc": {wordElse, 0},
	"ilmic": {wordElse, 0}, "vpi": {wordElse, 0}, "vci": {wordElse, 0},
	"connectmsg": {wordElse, 0}, "metaconnect": {wordElse, 0},
	"fisu": {wordElse, 0}, "lssu": {wordElse, 0}, "lsu": {wordElse, 0}, "msu": {wordElse, 0},
	"hfisu": {wordElse, 0}, "hlssu": {wordElse, 0}, "hmsu": {wordElse, 0},
	"sio": {wordElse, 0}, "opc": {wordElse, 0}, "dpc": {wordElse, 0}, "sls": {wordElse, 0},
	"hsio": {wordElse, 0}, "hopc": {wordElse, 0}, "hdpc": {wordElse, 0}, "hsls": {wordElse, 0},
}
