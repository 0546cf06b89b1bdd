package hear

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
)

// Bounds of what a watch remembers.
const (
	maxHolders = 8192
	maxClaims  = 4096
	maxServers = 64
)

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	// handOver is for how long an address that a DHCP server gave to a host may be claimed
	// by the one before.
	handOver = 10 * minute
	// askedFor is for how long after a question a reply to it is no unasked one.
	askedFor = 5 * second
	// persistent is for how long unasked claims have to go on before they are more than a
	// host that tells of its new card or place: such a burst takes a few seconds.
	persistent = 20 * second
)

// holder is who has an IPv4 address, as ARP says.
//
//	a claim by                        what is made of it
//	the holder                        it still has it; after a rival's, they take turns
//	another, the holder is silent     the address went over: DHCP, another card
//	another, known as the same        the address went over: two cards of one host
//	another, while the holder is not  a rival
//	a rival, the holder, the rival    two at one address: duplicate_address, or arp_spoofing
//	                                  where the rival claims a gateway's, or several
//	a rival, unasked, again and again arp_spoofing of a gateway's
type holder struct {
	mac         mac
	first, last int64
	rival       mac
	rivalFirst  int64
	rivalLast   int64
	rivalClaims int
	unasked     int
	unaskedLast int64
	turns       int
	leased      mac // whom a DHCP server gave it to
	leasedAt    int64
}

// behaviour is what a host claimed in the last minute.
type behaviour struct {
	since   int64
	unasked int
	stolen  map[netip.Addr]int64 // addresses of others, and when
}

// Server is a DHCP server.
type Server struct {
	MAC  string `json:"mac"`
	IP   string `json:"ip"`
	Last int64  `json:"last"` // Unix seconds
}

// watch looks for what does not fit together.
type watch struct {
	o        *Options
	teller   teller
	trusted  map[mac]bool
	gateways map[netip.Addr]bool
	holders  map[netip.Addr]*holder
	claims   map[mac]*behaviour
	asked    map[[8]byte]int64 // who asks for whom, and when
	allowed  []string
	known    map[string]*Server
	learnTo  int64
}

func newWatch(o *Options, s *Stats) *watch {
	w := &watch{
		o: o, teller: newTeller(o, s), trusted: map[mac]bool{}, gateways: map[netip.Addr]bool{}, holders: map[netip.Addr]*holder{},
		claims: map[mac]*behaviour{}, asked: map[[8]byte]int64{}, known: map[string]*Server{},
	}
	for _, text := range o.Config.TrustedMACs {
		if m, err := net.ParseMAC(text); err == nil && len(m) == 6 {
			w.trusted[mac(m)] = true
		}
	}
	for _, a := range o.Gateways {
		w.gateways[a] = true
	}
	for _, text := range o.Config.DHCPServers {
		if m, err := net.ParseMAC(text); err == nil {
			text = m.String()
		}
		w.allowed = append(w.allowed, text)
	}
	for _, s := range o.DHCPServers {
		if len(w.known) < maxServers {
			w.known[s.MAC+" "+s.IP] = &s
		}
	}
	return w
}

func (w *watch) servers() []Server {
	out := make([]Server, 0, len(w.known))
	for _, s := range w.known {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(x, y Server) int { return slices.Compare([]string{x.MAC, x.IP}, []string{y.MAC, y.IP}) })
	return out
}

// virtual reports whether a MAC address is one that routers or balancers hand over to each
// other: VRRP and CARP, HSRP, GLBP, Microsoft's load balancing.
func virtual(m mac) bool {
	switch {
	case m[0] == 0x00 && m[1] == 0x00 && m[2] == 0x5e && m[3] == 0x00 && (m[4] == 1 || m[4] == 2),
		m[0] == 0x00 && m[1] == 0x00 && m[2] == 0x0c && (m[3] == 0x07 && m[4] == 0xac || m[3] == 0x9f && m[4]>>4 == 0x0f),
		m[0] == 0x00 && m[1] == 0x05 && m[2] == 0x73 && m[3] == 0xa0,
		m[0] == 0x00 && m[1] == 0x07 && m[2] == 0xb4,
		m[0] == 0x02 && m[1] == 0xbf:
		return true
	}
	return false
}

// arp looks at one packet. to is where its frame went.
func (w *watch) arp(src mac, to []byte, c claim, at int64) {
	if !usable(c.senderIP) || virtual(c.sender) || virtual(src) || w.trusted[c.sender] {
		return
	}
	unasked := w.unasked(to, &c, at)
	if unasked {
		w.flood(&c, at)
	}
	h := w.holders[c.senderIP]
	if h == nil {
		if len(w.holders) >= maxHolders {
			clear(w.holders) // a flood of made-up addresses; the true ones come again soon
		}
		w.holders[c.senderIP] = &holder{mac: c.sender, first: at, last: at}
		return
	}
	if h.last > at {
		h.setBack(at)
	}
	window := int64(w.o.Config.ConflictSeconds) * second
	if h.rival != (mac{}) && at-h.rivalLast > window {
		h.dropRival()
	}
	switch {
	case c.sender == h.mac:
		if h.rival != (mac{}) && h.rivalLast > h.last {
			h.turns++
		}
		h.last = at
	case at-h.last > w.silence(c.senderIP), c.sender == h.leased && at-h.leasedAt < handOver, w.same(c.sender, h.mac):
		*h = holder{mac: c.sender, first: at, last: at, leased: h.leased, leasedAt: h.leasedAt}
		return
	default:
		w.rival(h, &c, unasked, at)
	}
	w.judge(h, &c, at)
}

// silence is how long a holder must be silent before its address is another's without a
// word: longer for a router, whom it pays to stand in for.
func (w *watch) silence(ip netip.Addr) int64 {
	silence := int64(w.o.Config.ConflictSeconds) * second
	if w.gateways[ip] {
		silence *= 5
	}
	return silence
}

// setBack makes times that are ahead, since the clock was set back, now.
func (h *holder) setBack(at int64) {
	for _, t := range []*int64{&h.first, &h.last, &h.rivalFirst, &h.rivalLast, &h.unaskedLast, &h.leasedAt} {
		*t = min(*t, at)
	}
}

func (h *holder) dropRival() {
	h.rival, h.rivalFirst, h.rivalLast, h.rivalClaims, h.unasked, h.unaskedLast, h.turns = mac{}, 0, 0, 0, 0, 0, 0
}

// rival notes a claim to an address that another has.
func (w *watch) rival(h *holder, c *claim, unasked bool, at int64) {
	if h.rival != c.sender {
		h.dropRival()
		h.rival, h.rivalFirst = c.sender, at
	}
	if h.last > h.rivalLast && h.rivalClaims > 0 {
		h.turns++
	}
	h.rivalLast = at
	h.rivalClaims++
	if unasked {
		h.unasked++
		h.unaskedLast = at
	}
	b := w.behaviour(c.sender, at)
	// More than are wanted of a spoofer would only be counted, at each claim.
	if _, is := b.stolen[c.senderIP]; is || len(b.stolen) < w.o.Config.SpoofedAddresses+16 {
		b.stolen[c.senderIP] = at
	}
}

// judge tells whether two hosts are at one address, and what that looks like.
func (w *watch) judge(h *holder, c *claim, at int64) {
	if h.rival == (mac{}) {
		return
	}
	stolen := 0
	if b := w.claims[h.rival]; b != nil {
		window := int64(w.o.Config.ConflictSeconds) * second
		for ip, when := range b.stolen {
			if at-when > window || when > at {
				delete(b.stolen, ip)
			}
		}
		stolen = len(b.stolen)
	}
	gateway := w.gateways[c.senderIP]
	insists := h.unasked >= 5 && h.unaskedLast-h.rivalFirst >= persistent
	turns := h.turns >= 2 // each has claimed it after the other had
	switch {
	case gateway && (insists || turns), stolen >= w.o.Config.SpoofedAddresses && (insists || turns):
		w.teller.say(spoofing(h, c.senderIP, gateway, stolen, at))
	case turns:
		w.teller.say(duplicate(h, c.senderIP, at))
	}
}

func (w *watch) same(a, b mac) bool {
	return w.o.Same != nil && w.o.Same(macText(a), macText(b))
}

// unasked reports whether nobody asked for a claim: one that a host makes of itself, or a
// reply without a question.
func (w *watch) unasked(to []byte, c *claim, at int64) bool {
	key := func(who, whom netip.Addr) (k [8]byte) {
		x, y := who.As4(), whom.As4()
		copy(k[:4], x[:])
		copy(k[4:], y[:])
		return k
	}
	if !c.reply {
		if c.senderIP == c.targetIP {
			return true
		}
		if len(w.asked) >= maxClaims {
			clear(w.asked)
		}
		w.asked[key(c.senderIP, c.targetIP)] = at
		return false
	}
	if to[0]&1 != 0 {
		return true // to all
	}
	when, is := w.asked[key(c.targetIP, c.senderIP)]
	return !is || at-when > askedFor || when > at
}

func (w *watch) behaviour(m mac, at int64) *behaviour {
	b := w.claims[m]
	if b == nil {
		if len(w.claims) >= maxClaims {
			clear(w.claims)
		}
		b = &behaviour{since: at, stolen: map[netip.Addr]int64{}}
		w.claims[m] = b
	}
	if at-b.since > minute || at < b.since {
		b.since, b.unasked = at, 0
	}
	return b
}

// flood counts unasked claims of one host.
func (w *watch) flood(c *claim, at int64) {
	b := w.behaviour(c.sender, at)
	if b.unasked++; b.unasked == w.o.Config.GratuitousPerMinute {
		w.teller.say(flooded(c, b.unasked, at))
	}
}

// dhcp looks at a packet from a DHCP server or relay.
func (w *watch) dhcp(src mac, from netip.Addr, payload []byte, at int64) {
	m, ok := dissect.ReadDHCP(payload)
	if !ok || !m.FromServer || m.Message != "OFFER" && m.Message != "ACK" {
		return
	}
	if client, err := net.ParseMAC(m.MAC); err == nil && len(client) == 6 && m.Message == "ACK" && usable(m.Assigned.IP()) {
		ip := m.Assigned.IP()
		h := w.holders[ip]
		if h == nil {
			if len(w.holders) >= maxHolders {
				clear(w.holders)
			}
			h = &holder{mac: mac(client), first: at, last: at}
			w.holders[ip] = h
		}
		h.leased, h.leasedAt = mac(client), at
	}
	server := m.Server.IP()
	if !usable(server) {
		server = from
	}
	id := Server{MAC: macText(src), IP: server.String(), Last: at / second}
	if w.learnTo == 0 {
		w.learnTo = at + int64(w.o.Config.LearnMinutes)*minute
		switch {
		case w.o.LearnUntil > 0:
			w.learnTo = min(w.learnTo, w.o.LearnUntil*second) // it began before
		case len(w.o.DHCPServers) > 0:
			w.learnTo = at // they were learnt before
		}
	}
	w.learnTo = min(w.learnTo, at+int64(w.o.Config.LearnMinutes)*minute) // the clock may have been set back
	known := w.known[id.MAC+" "+id.IP]
	switch {
	case len(w.allowed) > 0:
		if slices.Contains(w.allowed, id.MAC) || slices.Contains(w.allowed, id.IP) {
			return
		}
	case known != nil:
		known.Last = id.Last
		return
	case at < w.learnTo:
		if len(w.known) < maxServers {
			w.known[id.MAC+" "+id.IP] = &id
		}
		return
	}
	w.teller.say(rogue(id, &m, len(w.allowed) > 0, at))
}
