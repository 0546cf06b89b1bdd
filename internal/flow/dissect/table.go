package dissect

import "math"

// id numbers a protocol within tables; none stands for no protocol.
type id uint8

const none id = 0

// Transports, as IANA numbers IP protocols.
const (
	ipTCP     = 6
	ipUDP     = 17
	ipUDPLite = 136
)

// Categories of protocols, as Facts name them.
const (
	categoryWeb        = "web"
	categoryMail       = "mail"
	categoryFile       = "file_transfer"
	categoryRemote     = "remote_access"
	categoryStream     = "streaming"
	categoryVPN        = "vpn"
	categoryP2P        = "p2p"
	categoryIndustrial = "industrial"
	categoryManage     = "management"
	categoryName       = "name"
	categoryDatabase   = "database"
	categoryMessage    = "messaging"
	categoryVoice      = "voice"
	categoryLogin      = "authentication"
	categoryNetwork    = "network"
	categoryGame       = "game"
	categoryUnknown    = "unknown"
)

// answer is what a signature says of the bytes it was shown.
type answer uint8

const (
	// no: it is not this protocol, whatever follows.
	no answer = iota
	// more: it may be; ask again with more bytes. Where none can come, it means no.
	more
	// maybe: it may be, but other protocols look alike; two packets that agree, or
	// the port, make it likely.
	maybe
	// yes: it is this protocol. At least four bytes speak for it, or fewer and the
	// whole form of a message.
	yes
)

// look is what a signature is shown.
//
// Of TCP, b is a direction from its start to a place that segments do not decide (see
// turn.go), at most maxNaming.
type look struct {
	b []byte
	// other is what the other side sent so far: its beginning for TCP, else the
	// first bytes of its first datagram.
	other []byte
	// first is the beginning of the direction's first datagram, nil when b is it.
	first []byte
	// size is the length of the datagram on the wire, of which b may lack the end.
	size             int
	srcPort, dstPort uint16 // of the packet
	final            bool
}

// signature recognises one side of a protocol.
type signature struct {
	// starts are the bytes with which it can begin; any, if empty.
	starts string
	match  func(l *look) answer
	// portOnly says that it is tried only where the port speaks for the protocol.
	portOnly bool
}

// protocol is a row of the table of protocols.
type protocol struct {
	name, category string
	// tcp and udp are the ports it has by convention, ip its protocol number.
	tcp, udp []uint16
	ip       uint8
	// client and server recognise what the two sides of a TCP connection say first,
	// datagram what either says.
	client, server, datagram signature
	// read and readDatagram read more of a flow that was recognised, until Done.
	read, readDatagram func(r *reading) Verdict
	// ends says where the first thing behind a place of a direction ends that read waits
	// for, by the bytes before its end; a place that is not behind it says that this is
	// not known. Read must take every end for what comes of it by itself: to be shown
	// less than up to there must change nothing.
	ends func(b []byte, shown int) int
	// tells says in words what is read, for the documentation.
	tells string

	plain, byPort *Facts // shared, read-only
}

// Sides of signatures, in tables.lists.
const (
	sideClient = iota
	sideServer
	sideDatagram
	sides
)

// tables are made once and only read then.
type tables struct {
	protocols        []protocol // by id; the first is none
	byIP             [256]id
	tcpPort, udpPort [1 << 16]id
	// lists say, for the first byte of what a side says, which protocols may begin
	// so, in the order of the table.
	lists  [sides][256][]id
	byName map[string]id
	// nlogn is n·log2(n), to measure entropy.
	nlogn [maxEntropy + 1]float32
}

func newTables() *tables {
	t := &tables{protocols: append([]protocol{{}}, allProtocols()...), byName: map[string]id{}}
	for n := 2; n < len(t.nlogn); n++ {
		t.nlogn[n] = float32(float64(n) * math.Log2(float64(n)))
	}
	for i := range t.protocols {
		p := &t.protocols[i]
		if i == 0 {
			continue
		}
		p.plain = &Facts{App: p.name, Category: p.category, Confidence: 1}
		t.byName[p.name] = id(i)
		p.byPort = &Facts{App: p.name, Category: p.category, Confidence: 0.5}
		if p.ip != 0 {
			t.byIP[p.ip] = id(i)
		}
		for _, port := range p.tcp {
			t.tcpPort[port] = first(t.tcpPort[port], id(i))
		}
		for _, port := range p.udp {
			t.udpPort[port] = first(t.udpPort[port], id(i))
		}
		for side, s := range []signature{p.client, p.server, p.datagram} {
			t.list(side, id(i), s)
		}
	}
	return t
}

func first(have, want id) id {
	if have != none {
		return have
	}
	return want
}

func (t *tables) list(side int, i id, s signature) {
	if s.match == nil || s.portOnly {
		return
	}
	if s.starts == "" {
		for b := range t.lists[side] {
			t.lists[side][b] = append(t.lists[side][b], i)
		}
	}
	for _, b := range []byte(s.starts) {
		if l := t.lists[side][b]; len(l) == 0 || l[len(l)-1] != i {
			t.lists[side][b] = append(l, i)
		}
	}
}

func (p *protocol) side(side int) *signature {
	switch side {
	case sideClient:
		return &p.client
	case sideServer:
		return &p.server
	default:
		return &p.datagram
	}
}

// allProtocols is the table. Its order decides between signatures that would both
// say yes: forms that are long or rare come before those that are short.
func allProtocols() []protocol {
	var all []protocol
	for _, family := range [][]protocol{
		secureProtocols(), webProtocols(), nameProtocols(), networkProtocols(),
		mailProtocols(), remoteProtocols(), fileProtocols(), loginProtocols(), databaseProtocols(),
		messageProtocols(), voiceProtocols(), streamProtocols(), industrialProtocols(),
		manageProtocols(), vpnProtocols(), peerProtocols(), gameProtocols(),
	} {
		all = append(all, family...)
	}
	return all
}
