// Package exposure says what of a device should not be as it is: services that anybody
// may read, protocols that carry passwords in the clear, certificates that have ended,
// and versions that nobody mends any more. It looks at what scanners know, and sends
// nothing.
//
// Each finding is told once, and again as resolved when a later look shows that it is
// over. Its uid is made of device, port and kind, so that it is the same after a
// restart.
package exposure

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// TypePrefix is what the type of each finding's event begins with: agents of kind
// scanner may publish finding.scanner.*, as the hub's admission has it.
const TypePrefix = "finding.scanner."

// Kind is what was found; it is the last word of its event's type.
type Kind string

// The kinds.
const (
	TelnetOpen         Kind = "telnet_open"
	CleartextShell     Kind = "cleartext_shell"
	CertificateExpired Kind = "certificate_expired"
	OldTLS             Kind = "old_tls"
	OpenDatabase       Kind = "open_database"
	OpenControl        Kind = "open_control"
	AnonymousFTP       Kind = "anonymous_ftp"
	SMB1               Kind = "smb1"
	SSH1               Kind = "ssh1"
	EndOfLife          Kind = "end_of_life"
)

// profile is what all findings of a kind have in common.
type profile struct {
	title          string
	severity       pb.Severity
	confidence     float64 // 0 to 1
	technique      string  // of MITRE ATT&CK, enterprise matrix v17
	tactic         string
	falsePositives []string
}

const (
	low    = pb.Severity_SEVERITY_LOW
	medium = pb.Severity_SEVERITY_MEDIUM
	high   = pb.Severity_SEVERITY_HIGH
)

func profiles() map[Kind]profile {
	const access, credential = "Initial Access", "Credential Access" //nolint:gosec // G101: a tactic of ATT&CK
	return map[Kind]profile{
		TelnetOpen:         {"Telnet is open", medium, 0.95, "T1040", credential, []string{"A console server or an old switch in a network that only its keepers reach."}},
		CleartextShell:     {"A shell without encryption is open", high, 0.8, "T1040", credential, []string{"A port of rexec, rlogin or rsh that something else has."}},
		CertificateExpired: {"Certificate has expired", low, 1, "T1587.003", "Resource Development", []string{"The clock of the scanner is wrong.", "A device that nobody has looked after: renew its certificate."}},
		OldTLS:             {"Only old TLS is offered", low, 0.9, "T1557", credential, []string{"A device whose maker has nothing newer: keep it in a network of its own."}},
		OpenDatabase:       {"Database without a password", high, 0.9, "T1190", access, []string{"A cache that holds nothing of worth, in a network that only its users reach."}},
		OpenControl:        {"Control of a service without a login", high, 0.85, "T1133", access, []string{"An interface that shows nothing but its version without a login."}},
		AnonymousFTP:       {"Anonymous FTP", low, 0.7, "T1078.001", access, []string{"A mirror that is meant for all."}},
		SMB1:               {"SMBv1 is offered", medium, 0.95, "T1210", "Lateral Movement", []string{"A scanner or a printer that knows nothing newer: keep it in a network of its own."}},
		SSH1:               {"SSH protocol 1 is offered", medium, 0.95, "T1557", credential, []string{"A device whose maker has nothing newer."}},
		EndOfLife:          {"Version that is not mended any more", medium, 0.75, "T1190", access, []string{"A distribution that mends the version on its own, or support that was bought beyond its end."}},
	}
}

// Kinds are all kinds.
func Kinds() []Kind { return slices.Sorted(maps.Keys(profiles())) }

// sighting is one finding about one device.
type sighting struct {
	kind        Kind
	port        uint32 // 0 is the device itself
	protocol    string
	what        string // tells two findings of one kind and port apart
	description string
	observables map[string]string
}

// Look returns what is found of d at the time now.
func (f *Facts) look(d *pb.DeviceInventory, now time.Time) []sighting {
	var found []sighting
	name := describe(d)
	for _, p := range d.GetPorts() {
		at := fmt.Sprintf("%s, port %d/%s", name, p.GetPort(), p.GetProtocol())
		for _, s := range lookAtPort(p, now) {
			s.port, s.protocol = p.GetPort(), p.GetProtocol()
			s.description = at + ": " + s.description
			found = append(found, s)
		}
		if e, ok := f.ended(p.GetProduct(), p.GetVersion(), now); ok {
			found = append(found, sighting{
				kind: EndOfLife, port: p.GetPort(), protocol: p.GetProtocol(), what: e.Product,
				description: fmt.Sprintf("%s: %s %s. %s", at, p.GetProduct(), p.GetVersion(), e.sentence()),
				observables: map[string]string{"software.name": p.GetProduct(), "software.version": p.GetVersion()},
			})
		}
	}
	if e, ok := f.ended(d.GetOsName(), d.GetOsVersion(), now); ok {
		found = append(found, sighting{
			kind: EndOfLife, what: e.Product, description: fmt.Sprintf("%s runs %s. %s", name, strings.TrimSpace(d.GetOsName()+" "+d.GetOsVersion()), e.sentence()),
			observables: map[string]string{"host.os.name": d.GetOsName(), "host.os.version": d.GetOsVersion()},
		})
	}
	return found
}

// describe names a device for people.
func describe(d *pb.DeviceInventory) string {
	var ip string
	if len(d.GetIp()) > 0 {
		ip = d.GetIp()[0]
	}
	switch {
	case d.GetHostname() != "" && ip != "":
		return d.GetHostname() + " (" + ip + ")"
	default:
		return cmp.Or(d.GetHostname(), ip, d.GetUid())
	}
}

// lookAtPort returns what is found of one port.
func lookAtPort(p *pb.Port, now time.Time) []sighting {
	var found []sighting
	add := func(kind Kind, description string) {
		found = append(found, sighting{kind: kind, description: description})
	}
	switch {
	case stack.Unproven(p):
	case p.GetService() == "telnet":
		add(TelnetOpen, "Telnet carries names and passwords in the clear; SSH takes its place.")
	case slices.Contains([]string{"exec", "login", "shell"}, p.GetService()):
		add(CleartextShell, p.GetService()+" carries names and passwords in the clear; SSH takes its place.")
	}
	if end := p.GetCertificateNotAfter(); end.IsValid() && now.After(end.AsTime().Add(grace)) {
		found = append(found, sighting{
			kind: CertificateExpired, what: p.GetCertificateSha256(),
			description: fmt.Sprintf("the certificate %q ended on %s, %.0f days before.", p.GetCertificateSubject(), end.AsTime().Format(time.DateOnly), now.Sub(end.AsTime()).Hours()/24),
			observables: map[string]string{"tls.server.hash.sha256": p.GetCertificateSha256(), "tls.server.subject": p.GetCertificateSubject()},
		})
	}
	switch v := p.GetTlsVersion(); v {
	case "SSLv3", "TLS 1.0", "TLS 1.1":
		add(OldTLS, v+" is the newest that is offered (RFC 8996 forbids it).")
	}
	for _, r := range p.GetRemarks() {
		switch {
		case r == "no password":
			add(OpenDatabase, cmp.Or(p.GetProduct(), p.GetService())+" answers without a password.")
		case r == "answers without a certificate", r == "answers without a login":
			add(OpenControl, fmt.Sprintf("%s %s.", cmp.Or(p.GetProduct(), p.GetService()), r))
		case strings.HasPrefix(r, "anonymous login"):
			add(AnonymousFTP, "its greeting says that anybody may log in.")
		case r == "SMBv1 is offered":
			add(SMB1, "SMBv1 is offered, which signs nothing by default and had holes that worms used; its maker removed it.")
		case r == "SSH protocol 1 is offered":
			add(SSH1, "SSH protocol 1 is offered, whose integrity was broken in 1998.")
		}
	}
	return found
}

// grace is how long after its end a certificate is not told: clocks differ.
const grace = 24 * time.Hour

// event writes the finding with a uid.
func (s *sighting) event(d *pb.DeviceInventory, uid, status string, now time.Time) *pb.Event {
	p := profiles()[s.kind]
	observables := map[string]string{"device.uid": d.GetUid()}
	put := func(key, value string) {
		if value != "" {
			observables[key] = value
		}
	}
	if len(d.GetIp()) > 0 {
		put("device.ip", d.GetIp()[0])
	}
	put("device.hostname", d.GetHostname())
	if s.port != 0 {
		put("destination.port", strconv.FormatUint(uint64(s.port), 10))
		put("network.transport", s.protocol)
	}
	for key, value := range s.observables {
		put(key, value)
	}
	f := &pb.DetectionFinding{
		Uid: uid, Title: p.title, Description: s.description,
		RuleId: "scanner." + string(s.kind), RuleName: p.title,
		Tactics: []string{p.tactic}, Techniques: []string{p.technique},
		Confidence: p.confidence, RiskScore: float64(p.severity) * 20 * p.confidence,
		FalsePositives: p.falsePositives, Status: status, Observables: observables,
	}
	return &pb.Event{
		Type: TypePrefix + string(s.kind), Time: timestamppb.New(now), Severity: p.severity,
		Body: &pb.Event_Finding{Finding: f},
	}
}

// key tells the findings of one device apart.
func (s *sighting) key() string {
	return fmt.Sprintf("%s\x00%d\x00%s\x00%s", s.kind, s.port, s.protocol, s.what)
}

// uid names a finding, the same for the same device, port and thing.
func (s *sighting) uid(device string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%s", s.kind, device, s.port, s.protocol, s.what))
	return hex.EncodeToString(sum[:16])
}
