package findings

import (
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Protocol numbers of IANA's registry.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// answer is how an attempt to reach a port went.
type answer uint8

const (
	// undecided: too early to say, or nothing to learn from.
	undecided answer = iota
	// unanswered, refused, halfOpen (the initiator reset what was agreed to), empty
	// (closed by the initiator, who had sent nothing), acknowledged (reset on an
	// ACK that belonged to nothing) and finished (the same on a FIN with ACK) are probes.
	unanswered
	refused
	halfOpen
	empty
	acknowledged
	finished
	// conversed: both had something to say.
	conversed
)

// tcpAnswer judges a connection.
//
//	SYN alone                              unanswered
//	SYN, reset by the responder            refused
//	SYN, SYN ACK, then RST without ACK     halfOpen
//	open, nothing sent, initiator closes   empty
//	ACK alone, reset                       acknowledged
//	FIN with ACK alone, reset              finished
//	payload                                conversed
//
// A SYN may carry payload, which says nothing as long as no ACK follows.
func tcpAnswer(f *track.Flow) answer {
	const shown = packet.FIN | packet.SYN | packet.RST | packet.PSH | packet.ACK | packet.URG
	out, in := f.Out.Flags&shown, f.In.Flags&shown
	switch {
	case f.In.Payload > 0 && f.Out.Payload > 0:
		return conversed
	case f.Out.Payload > 0 && out&packet.ACK != 0, f.Out.Packets == 0:
		return undecided
	case f.Midstream:
		return strayAnswer(f, out, in)
	}
	switch f.State {
	case "S0":
		if out&^(packet.PSH|packet.URG) == packet.SYN {
			return unanswered
		}
	case "REJ":
		return refused
	case "RSTO":
		if out&packet.ACK == 0 {
			return halfOpen
		}
		return empty
	case "RSTOS0":
		return halfOpen
	case "SF", "S2", "RSTR":
		if f.Closed && f.ClosedBy == 0 {
			return empty
		}
	}
	return undecided
}

// strayAnswer judges segments of a connection that was not seen to begin.
func strayAnswer(f *track.Flow, out, in uint8) answer {
	switch {
	case in != packet.RST || f.Out.Payload > 0:
		return undecided
	case out == packet.ACK:
		return acknowledged
	case out == packet.FIN|packet.ACK && f.Out.Packets <= fewPackets:
		return finished
	}
	return undecided
}

// Ports that traceroute counts up from, one for each hop and try (its manual).
const (
	traceFirst = 33434
	traceLast  = traceFirst + 255
)

const (
	// fewPackets is how many a probe by UDP has at most.
	fewPackets = 3
)

// udpAnswer judges an exchange of datagrams.
func udpAnswer(f *track.Flow) answer {
	switch {
	case f.In.Packets > 0 && f.Out.Packets > 0:
		return conversed
	case f.Out.Packets == 0, f.Out.Packets > fewPackets, f.SrcPort == f.DstPort,
		f.DstPort >= traceFirst && f.DstPort <= traceLast, sprinkles(f):
		return undecided
	}
	return unanswered
}

// sprinkles reports whether a flow speaks a protocol whose peers come and go, so that
// many of them never answer, or QUIC, which a browser behind a firewall tries often.
func sprinkles(f *track.Flow) bool {
	if f.Facts == nil || f.Facts.Confidence <= 0.5 {
		return false
	}
	switch f.Facts.Category {
	case "p2p", "voice", "game":
		return true
	}
	return f.Facts.App == "quic"
}

// fromService turns a flow of datagrams around of which only the side with a server's
// port has sent. It was taken for the one that answers; but nobody had asked, and who
// scans may send from any port. What speaks its protocol is a late answer.
func fromService(f *track.Flow) *track.Flow {
	if f.Out.Packets > 0 || f.Facts != nil && f.Facts.Confidence == 1 {
		return f
	}
	turned := *f
	turned.Src, turned.Dst, turned.SrcPort, turned.DstPort = f.Dst, f.Src, f.DstPort, f.SrcPort
	turned.SrcMAC, turned.DstMAC = f.DstMAC, f.SrcMAC
	turned.Out, turned.In = f.In, f.Out
	return &turned
}

// scans are the sources that try ports and hosts.
type scans struct {
	quick, slow *recent.Map[scanKey, scanner]
	stealthy    *recent.Map[packet.Addr, stealth]
	pings       *recent.Map[packet.Addr, scanner]
}

type scanKey struct {
	source packet.Addr
	udp    bool
}

func newScans(cfg *Config) *scans {
	return &scans{
		quick:    recent.New[scanKey, scanner](cfg.MaxSources),
		slow:     recent.New[scanKey, scanner](cfg.MaxSources),
		stealthy: recent.New[packet.Addr, stealth](cfg.MaxSources),
		pings:    recent.New[packet.Addr, scanner](cfg.MaxSources),
	}
}

func (s *scans) forgotten() uint64 {
	return s.quick.Evicted + s.slow.Evicted + s.stealthy.Evicted + s.pings.Evicted
}

// scanner is what one source tried within a window.
type scanner struct {
	start           int64
	hosts, ports    sketch // of probes
	pairs, good     sketch // of host and port
	halfOpen, empty uint32
	// covered says that a quick scan was told in this window of a slow one.
	covered  bool
	targets  []tally[packet.Addr]
	services []tally[uint16]
}

// tally counts the ports that were tried of one host, or the hosts of one port.
type tally[K comparable] struct {
	key          K
	probed, good sketch
}

// maxTallies is how many hosts, and how many ports, of one source are counted apart.
const maxTallies = 32

// tallyOf finds or makes the tally of a key; where there is no room it takes the place
// of that with the fewest probes.
func tallyOf[K comparable](list *[]tally[K], k K) *tally[K] {
	least, fewest := 0, sketchBits+1
	for i := range *list {
		t := &(*list)[i]
		if t.key == k {
			return t
		}
		if n := t.probed.count(); n < fewest && len(*list) >= maxTallies {
			least, fewest = i, n
		}
	}
	if len(*list) < maxTallies {
		*list = append(*list, tally[K]{key: k})
		return &(*list)[len(*list)-1]
	}
	(*list)[least] = tally[K]{key: k}
	return &(*list)[least]
}

// scan judges what a flow tells of a scan.
func (w *Watch) scan(f *track.Flow) {
	switch {
	case toMany(f):
	case f.Protocol == protoTCP:
		if w.stealth(f) {
			return
		}
		w.try(f, tcpAnswer(f))
	case f.Protocol == protoUDP && !w.visibility.oneWay():
		f = fromService(f)
		w.try(f, udpAnswer(f))
	case f.Protocol == protoICMP && f.SrcPort == 8, f.Protocol == protoICMPv6 && f.SrcPort == 128:
		w.ping(f)
	}
}

// try notes an attempt in both windows.
func (w *Watch) try(f *track.Flow, a answer) {
	if a == undecided {
		return
	}
	key := scanKey{f.Src, f.Protocol == protoUDP}
	w.attempt(w.scans.quick, key, f, a, &w.cfg.Scan)
	w.attempt(w.scans.slow, key, f, a, &w.cfg.SlowScan)
}

func (w *Watch) attempt(in *recent.Map[scanKey, scanner], key scanKey, f *track.Flow, a answer, c *ScanConfig) {
	s, fresh := in.Use(key)
	if fresh || w.elapsed(s.start, seconds(c.WindowSeconds)) {
		*s = scanner{start: w.beginning(f)}
	}
	host, port := hashAddr(f.Dst), hashPort(f.DstPort)
	target, service := tallyOf(&s.targets, f.Dst), tallyOf(&s.services, f.DstPort)
	if a == conversed {
		s.good.add(mix(host ^ port))
		target.good.add(port)
		service.good.add(host)
		return
	}
	target.probed.add(port)
	if a != finished { // who wakes up ends connections that many servers have forgotten
		s.hosts.add(host)
		s.ports.add(port)
		s.pairs.add(mix(host ^ port))
		service.probed.add(host)
	}
	switch a {
	case halfOpen:
		s.halfOpen++
	case empty:
		s.empty++
	default:
	}
	w.judgeScan(s, target, service, f, c)
}

// beginning is when a window begins with a flow: with its first packet, unless that is
// longer ago than it takes until a flow is told.
func (w *Watch) beginning(f *track.Flow) int64 {
	return max(f.First, w.now-int64(2*time.Second))
}

// mostly reports whether probes are at least the share of all attempts.
func mostly(probes, good int, share float64) bool {
	return float64(probes) >= share*float64(probes+good)
}

// judgeScan raises what a source has done.
func (w *Watch) judgeScan(s *scanner, target *tally[packet.Addr], service *tally[uint16], f *track.Flow, c *ScanConfig) {
	if w.trusts(f.Src) {
		return
	}
	udp := f.Protocol == protoUDP
	hosts, ports := s.hosts.count(), s.ports.count()
	onTarget, onService := target.probed.count(), service.probed.count()
	pairs, good := s.pairs.count(), s.good.count()
	const (
		// touched is the share of all hosts that a port was tried on in a sweep: peers
		// of a file-sharing network have a port each.
		touched = 0.3
		// grid is how many ports a host sees at least where many hosts and ports are
		// tried in no order.
		grid = 4
		// crowd is how many hosts that never answer are a sweep, whatever the ports.
		crowd = 500
	)
	found := sighting{
		against: f.Dst, port: f.DstPort, protocol: f.Protocol, method: s.method(udp), more: 1,
		numbers: [4]float64{0, float64(hosts), float64(w.now-s.start) / float64(time.Second), 0},
	}
	var kind Kind
	switch {
	case onTarget >= c.Ports && mostly(onTarget, target.good.count(), c.FailedShare):
		kind = PortScan
		found.numbers[0], found.count = float64(onTarget), uint64(onTarget)
	case onService >= c.Hosts && mostly(onService, service.good.count(), c.FailedShare) && float64(onService) >= touched*float64(hosts):
		kind = NetworkSweep
		found.numbers[0], found.count = float64(onService), uint64(onService)
	case !udp && hosts >= c.Hosts && ports >= c.Ports && pairs >= grid*hosts && mostly(pairs, good, c.FailedShare),
		!udp && hosts >= crowd && mostly(pairs, good, 0.95):
		kind = NetworkSweep
		found.port = 0
		found.numbers[0], found.numbers[3], found.count = float64(hosts), float64(ports), uint64(pairs)
	default:
		return
	}
	found.name = kind.String()
	switch {
	case c == &w.cfg.SlowScan:
		s.covered = s.covered || w.scanned(f.Src)
		if s.covered {
			return
		}
		found.kind = SlowScan
	case udp:
		found.kind = UDPScan
	default:
		found.kind = kind
	}
	found.source = f.Src
	w.raise(found)
}

// method says how ports were tried, as far as that shows.
func (s *scanner) method(udp bool) string {
	switch {
	case udp:
		return "UDP"
	case s.halfOpen > 0 && s.halfOpen >= s.empty:
		return "SYN (half-open)"
	case s.empty > 0:
		return "connect"
	}
	return "SYN or connect"
}

// scanned reports whether a quick scan of a source stands already.
func (w *Watch) scanned(source packet.Addr) bool {
	for _, kind := range []Kind{PortScan, NetworkSweep, UDPScan} {
		for _, shape := range []Kind{PortScan, NetworkSweep} {
			if w.standing.Look(subject{kind: kind, source: source, name: shape.String()}) != nil {
				return true
			}
		}
	}
	return false
}

func (w *Watch) trusts(source packet.Addr) bool { return within(w.trusted, source) }

// stealth is what one source sent of segments that no TCP sends.
type stealth struct {
	start int64
	pairs sketch
}

// stealthName names a set of flags that opens no connection and belongs to none
// (RFC 9293 wants ACK in all but the first segment); empty for all others.
func stealthName(flags uint8) string {
	switch flags &^ (packet.ECE | packet.CWR) {
	case 0:
		return "NULL"
	case packet.FIN:
		return "FIN"
	case packet.FIN | packet.PSH | packet.URG:
		return "Xmas"
	case packet.FIN | packet.URG, packet.FIN | packet.PSH, packet.PSH | packet.URG, packet.URG, packet.PSH:
		return "odd flags"
	case packet.SYN | packet.FIN:
		return "SYN FIN"
	}
	return ""
}

// stealth judges a connection by its flags alone, and reports whether it was a probe.
func (w *Watch) stealth(f *track.Flow) bool {
	source, target, port, side := f.Src, f.Dst, f.DstPort, &f.Out
	name := ""
	if f.Out.Packets > 0 {
		name = stealthName(f.Out.Flags)
	}
	if name == "" && f.In.Packets > 0 {
		// Who began was guessed by ports.
		if name = stealthName(f.In.Flags); name != "" {
			source, target, port, side = f.Dst, f.Src, f.SrcPort, &f.In
		}
	}
	if name == "" || side.Payload > 0 || side.Packets > fewPackets {
		return false
	}
	s, fresh := w.scans.stealthy.Use(source)
	if fresh || w.elapsed(s.start, seconds(w.cfg.Scan.WindowSeconds)) {
		*s = stealth{start: w.beginning(f)}
	}
	s.pairs.add(mix(hashAddr(target) ^ hashPort(port)))
	n := s.pairs.count()
	if n < w.cfg.Scan.StealthProbes || w.trusts(source) {
		return true
	}
	w.raise(sighting{
		subject: subject{kind: StealthScan, source: source},
		against: target, port: port, protocol: protoTCP, method: name, count: uint64(n), more: 1,
		numbers: [4]float64{float64(n), 0, float64(w.now-s.start) / float64(time.Second)},
	})
	return true
}

// ping notes an echo request.
func (w *Watch) ping(f *track.Flow) {
	s, fresh := w.scans.pings.Use(f.Src)
	if fresh || w.elapsed(s.start, seconds(w.cfg.Scan.WindowSeconds)) {
		*s = scanner{start: w.beginning(f)}
	}
	host := hashAddr(f.Dst)
	s.pairs.add(host)
	if f.In.Packets > 0 {
		s.good.add(host)
	}
	hosts, good := s.pairs.count(), s.good.count()
	if hosts < w.cfg.Scan.PingHosts || w.trusts(f.Src) || !mostly(hosts-good, good, w.cfg.Scan.PingFailedShare) {
		return
	}
	w.raise(sighting{
		subject: subject{kind: PingSweep, source: f.Src},
		against: f.Dst, protocol: f.Protocol, count: uint64(hosts), more: 1,
		numbers: [4]float64{float64(hosts), float64(good), float64(w.now-s.start) / float64(time.Second)},
	})
}
