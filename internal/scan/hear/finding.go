package hear

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/inventory/oui"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TypePrefix is what the type of each finding's event begins with: agents of kind scanner
// may publish finding.scanner.*, as the hub's admission has it.
const TypePrefix = "finding.scanner."

// The kinds of findings.
const (
	DuplicateAddress = "duplicate_address"
	ARPSpoofing      = "arp_spoofing"
	ARPFlood         = "arp_flood"
	RogueDHCP        = "rogue_dhcp"
)

// Kinds are the names of all kinds.
func Kinds() []string { return []string{DuplicateAddress, ARPSpoofing, ARPFlood, RogueDHCP} }

// found is a finding before it is told. Techniques are of MITRE ATT&CK, enterprise matrix
// v17.
type found struct {
	kind, title, description string
	severity                 pb.Severity
	confidence               float64
	techniques, tactics      []string
	falsePositives           []string
	observables              map[string]string
	subject                  string // told once for each
	at                       int64
}

func duplicate(h *holder, ip netip.Addr, at int64) found {
	return found{
		kind: DuplicateAddress, title: "Two hosts at one address", severity: pb.Severity_SEVERITY_MEDIUM, confidence: 0.8,
		description: fmt.Sprintf("%s is claimed by %s and by %s in turns: the second claimed it %d times since %s. Connections to it fail at times.",
			ip, withVendor(h.mac), withVendor(h.rival), h.rivalClaims, clock(h.rivalFirst)),
		techniques: []string{"T1557.002"}, tactics: []string{"Credential Access", "Collection"},
		falsePositives: []string{
			"An address that was given by hand and is in the range of a DHCP server.",
			"A machine that was copied with its address.",
			"A cluster that hands an address over without a virtual MAC address: name its MAC addresses in findings.trusted_macs.",
		},
		observables: map[string]string{"source.ip": ip.String(), "source.mac": macText(h.rival), "destination.mac": macText(h.mac)},
		subject:     ip.String() + pair(h.mac, h.rival), at: at,
	}
}

func spoofing(h *holder, ip netip.Addr, gateway bool, stolen int, at int64) found {
	whose := fmt.Sprintf("%s, which %s has", ip, withVendor(h.mac))
	if gateway {
		whose = fmt.Sprintf("%s, the address of a router of this network, which %s has", ip, withVendor(h.mac))
	}
	return found{
		kind: ARPSpoofing, title: "A host claims the addresses of others by ARP", severity: pb.Severity_SEVERITY_HIGH, confidence: 0.85,
		description: fmt.Sprintf("%s claims %s: %d times since %s, %d of them unasked. It claims %d addresses of others. What is sent to these may go through it.",
			withVendor(h.rival), whose, h.rivalClaims, clock(h.rivalFirst), h.unasked, stolen),
		techniques: []string{"T1557.002"}, tactics: []string{"Credential Access", "Collection"},
		falsePositives: []string{
			"A router or firewall that takes over from another without a virtual MAC address: name both in findings.trusted_macs.",
			"A router that answers for hosts beyond it (proxy ARP) while they are here too.",
		},
		observables: map[string]string{"source.mac": macText(h.rival), "destination.ip": ip.String(), "destination.mac": macText(h.mac)},
		subject:     macText(h.rival), at: at,
	}
}

func flooded(c *claim, n int, at int64) found {
	return found{
		kind: ARPFlood, title: "Flood of ARP that nobody asked for", severity: pb.Severity_SEVERITY_MEDIUM, confidence: 0.7,
		description: fmt.Sprintf("%s sent %d claims within a minute that nobody asked for, the last to %s.", withVendor(c.sender), n, c.senderIP),
		techniques:  []string{"T1557.002"}, tactics: []string{"Credential Access", "Collection"},
		falsePositives: []string{
			"A router or a cluster that takes over many addresses at once: name its MAC address in findings.trusted_macs.",
			"A hypervisor that tells where machines have moved to.",
		},
		observables: map[string]string{"source.mac": macText(c.sender), "source.ip": c.senderIP.String()},
		subject:     macText(c.sender), at: at,
	}
}

func rogue(s Server, m *dissect.DHCP, named bool, at int64) found {
	why := "was not heard while the servers of this network were learnt"
	if named {
		why = "is not among findings.dhcp_servers"
	}
	return found{
		kind: RogueDHCP, title: "A DHCP server that is not known", severity: pb.Severity_SEVERITY_HIGH, confidence: 0.8,
		description: fmt.Sprintf("%s, with the MAC address %s, gives addresses by DHCP (%s of %s to %s), and %s. Who serves addresses can send all traffic through itself.",
			s.IP, s.MAC, m.Message, m.Assigned.IP(), m.MAC, why),
		techniques: []string{"T1557.003"}, tactics: []string{"Credential Access", "Collection"},
		falsePositives: []string{"A server or router that was added or exchanged on purpose: name it in findings.dhcp_servers.", "A home router that was plugged in the wrong way round."},
		observables:    map[string]string{"source.ip": s.IP, "source.mac": s.MAC},
		subject:        s.MAC + s.IP, at: at,
	}
}

// withVendor names a MAC address with who made its interface.
func withVendor(m mac) string {
	if v := oui.Vendor(m[:]); v != "" {
		return macText(m) + " (" + v + ")"
	}
	return macText(m)
}

func clock(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339) }

// pair names two addresses the same in either order.
func pair(a, b mac) string {
	x, y := macText(a), macText(b)
	if x > y {
		x, y = y, x
	}
	return x + y
}

// teller tells each finding once in a while, and so many in a minute. One of each kind is
// told each minute, so that nobody hides one thing behind many of another.
type teller struct {
	o        *Options
	stats    *Stats
	told     map[string]int64 // by kind and subject
	minute   int64
	inMinute map[string]int
}

// maxTold bounds what is remembered of findings.
const maxTold = 4096

func newTeller(o *Options, s *Stats) teller {
	return teller{o: o, stats: s, told: map[string]int64{}, inMinute: map[string]int{}}
}

func (t *teller) say(f found) {
	if slices.Contains(t.o.Config.Disabled, f.kind) {
		return
	}
	window := int64(t.o.Config.WindowSeconds) * second
	key := f.kind + " " + f.subject
	if last, is := t.told[key]; is && f.at-last < window && f.at >= last {
		return
	}
	if f.at/minute != t.minute {
		t.minute = f.at / minute
		clear(t.inMinute)
	}
	total := 0
	for _, n := range t.inMinute {
		total += n
	}
	if total >= t.o.Config.MaxPerMinute && t.inMinute[f.kind] > 0 {
		t.stats.Suppressed++
		return
	}
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	t.told[key] = f.at
	t.inMinute[f.kind]++
	t.stats.Findings[f.kind]++
	t.o.Finding(f.event())
}

func (f *found) event() *pb.Event {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(f.kind+" "+f.subject), uint64(f.at)))
	return &pb.Event{
		Type: TypePrefix + f.kind, Time: timestamppb.New(time.Unix(0, f.at)), Severity: f.severity,
		Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
			Uid: hex.EncodeToString(sum[:16]), Title: f.title, Description: f.description,
			RuleId: "scanner." + f.kind, RuleName: f.title, Tactics: f.tactics, Techniques: f.techniques,
			Confidence: f.confidence, RiskScore: float64(f.severity) * 20 * f.confidence,
			FalsePositives: f.falsePositives, Status: "new", Observables: f.observables,
		}},
		Message: cmp.Or(f.title, f.kind),
	}
}
