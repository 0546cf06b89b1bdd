package findings

import (
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TypePrefix is what the type of each finding's event begins with: agents of kind flow
// may publish finding.flow.*, as the hub's admission has it.
const TypePrefix = "finding.flow."

// Kind is what was found.
type Kind uint8

// The kinds.
const (
	PortScan Kind = iota
	NetworkSweep
	UDPScan
	StealthScan
	SlowScan
	PingSweep
	SYNFlood
	UDPFlood
	ICMPFlood
	CleartextLogin
	CertificateExpired
	CertificateNotYetValid
	CertificateSelfSigned
	Beacon
	DNSTunnel
	GeneratedDomains
	LargeUpload
	NewDestination
	QuietInterface
	OnlyBroadcasts
	OneDirection
	kinds
)

// String is the last word of its event's type, and its name in the configuration.
func (k Kind) String() string {
	if k >= kinds {
		return ""
	}
	return profiles[k].name
}

// Names are the names of all kinds.
func Names() []string {
	names := make([]string, kinds)
	for k := range kinds {
		names[k] = k.String()
	}
	return names
}

// profile is what all findings of a kind have in common.
type profile struct {
	name, title string
	severity    pb.Severity
	// fromOutside takes the place of severity where the source is not ours; 0 if not.
	fromOutside pb.Severity
	confidence  float64 // 0 to 1
	// Of MITRE ATT&CK, enterprise matrix v17.
	techniques, tactics []string
	falsePositives      []string
	describe            func(e *standing) string
}

const (
	low    = pb.Severity_SEVERITY_LOW
	medium = pb.Severity_SEVERITY_MEDIUM
	high   = pb.Severity_SEVERITY_HIGH
)

//nolint:gochecknoglobals // constants
var (
	discovery  = []string{"Discovery"}
	credential = []string{"Credential Access"}
	impact     = []string{"Impact"}
	control    = []string{"Command and Control"}
	scanners   = []string{
		"Monitoring, inventory and vulnerability scanners: name their networks in findings.trusted_scanners.",
		"A client whose servers are all down, and that tries one after the other.",
	}
)

var profiles = [kinds]profile{ //nolint:gochecknoglobals // constant
	PortScan: {
		name: "port_scan", title: "Port scan of a host", severity: medium, fromOutside: low, confidence: 0.9,
		techniques: []string{"T1046"}, tactics: discovery, falsePositives: scanners, describe: describeScan,
	},
	NetworkSweep: {
		name: "network_sweep", title: "Sweep of a network", severity: medium, fromOutside: low, confidence: 0.85,
		techniques: []string{"T1046", "T1018"}, tactics: discovery, falsePositives: scanners, describe: describeScan,
	},
	UDPScan: {
		name: "udp_scan", title: "UDP scan", severity: medium, fromOutside: low, confidence: 0.75,
		techniques: []string{"T1046"}, tactics: discovery, describe: describeScan,
		falsePositives: append([]string{"A protocol of many peers that is not known here."}, scanners...),
	},
	StealthScan: {
		name: "stealth_scan", title: "Scan by segments that no TCP sends", severity: high, fromOutside: medium, confidence: 0.95,
		techniques: []string{"T1046"}, tactics: discovery, describe: describeStealth,
		falsePositives: []string{"A damaged network card or a test of a firewall: no common program sends such segments."},
	},
	SlowScan: {
		name: "slow_scan", title: "Slow scan", severity: medium, fromOutside: low, confidence: 0.7,
		techniques: []string{"T1046"}, tactics: discovery, falsePositives: scanners, describe: describeScan,
	},
	PingSweep: {
		name: "ping_sweep", title: "Ping sweep", severity: low, fromOutside: low, confidence: 0.8,
		techniques: []string{"T1018"}, tactics: discovery, falsePositives: scanners, describe: describePing,
	},
	SYNFlood: {
		name: "syn_flood", title: "SYN flood", severity: high, confidence: 0.8,
		techniques: []string{"T1499.001", "T1498.001"}, tactics: impact, describe: describeFlood,
		falsePositives: []string{"A load test, or a busy service that has just gone away."},
	},
	UDPFlood: {
		name: "udp_flood", title: "UDP flood", severity: high, confidence: 0.6,
		techniques: []string{"T1498.001"}, tactics: impact, describe: describeFlood,
		falsePositives: []string{"A stream, a backup or a measurement such as iperf that sends by UDP and is not answered."},
	},
	ICMPFlood: {
		name: "icmp_flood", title: "ICMP flood", severity: high, confidence: 0.8,
		techniques: []string{"T1498.001"}, tactics: impact, describe: describeFlood,
		falsePositives: []string{"Somebody who measures a line with ping -f."},
	},
	CleartextLogin: {
		name: "cleartext_login", title: "Login in the clear", severity: medium, confidence: 0.95,
		techniques: []string{"T1040", "T1552"}, tactics: credential, describe: describeLogin,
		falsePositives: []string{"A login that is meant for all, such as anonymous FTP.", "A password that is good for one time."},
	},
	CertificateExpired: {
		name: "certificate_expired", title: "Certificate has expired", severity: low, confidence: 1,
		techniques: []string{"T1587.003"}, tactics: []string{"Resource Development"}, describe: describeCertificate,
		falsePositives: []string{"The clock of who captured is wrong.", "A device that nobody has looked after: renew its certificate."},
	},
	CertificateNotYetValid: {
		name: "certificate_not_yet_valid", title: "Certificate is not valid yet", severity: low, confidence: 1,
		techniques: []string{"T1587.003"}, tactics: []string{"Resource Development"}, describe: describeCertificate,
		falsePositives: []string{"The clock of who captured, or of who made the certificate, is wrong."},
	},
	CertificateSelfSigned: {
		name: "certificate_self_signed", title: "Certificate signed by itself", severity: low, confidence: 0.9,
		techniques: []string{"T1587.003"}, tactics: []string{"Resource Development"}, describe: describeCertificate,
		falsePositives: []string{"Printers, switches and services of one's own often have such: disable the kind, or give them certificates of an own authority."},
	},
	Beacon: {
		name: "beacon", title: "Connections at regular intervals", severity: medium, confidence: 0.6,
		techniques: []string{"T1071", "T1029"}, tactics: []string{"Command and Control", "Exfiltration"}, describe: describeBeacon,
		falsePositives: []string{"Programs that look for updates or news, monitoring from outside, clients that try a server which is away."},
	},
	DNSTunnel: {
		name: "dns_tunnel", title: "Names that carry data", severity: high, confidence: 0.8,
		techniques: []string{"T1071.004", "T1572"}, tactics: control, describe: describeTunnel,
		falsePositives: []string{"Virus scanners, block lists and measurements that ask by DNS: name their domains in findings.dns_tunnel.trusted_domains."},
	},
	GeneratedDomains: {
		name: "generated_domains", title: "Domains that look made up by a program", severity: high, confidence: 0.7,
		techniques: []string{"T1568.002"}, tactics: control, describe: describeGenerated,
		falsePositives: []string{"A program that tests whether a resolver lies about names that do not exist.", "A list of dead domains that somebody checks."},
	},
	LargeUpload: {
		name: "large_upload", title: "Unusually large upload", severity: medium, confidence: 0.5,
		techniques: []string{"T1048", "T1567"}, tactics: []string{"Exfiltration"}, describe: describeUpload,
		falsePositives: []string{"A backup, a release or a video that goes out for the first time."},
	},
	NewDestination: {
		name: "new_destination", title: "Destination that is new to a host", severity: low, confidence: 0.3,
		techniques: []string{"T1071"}, tactics: control, describe: describeDestination,
		falsePositives: []string{"People, and services that move: useful for servers with few peers alone."},
	},
	QuietInterface: {
		name: "quiet_interface", title: "An interface gives no frames", severity: medium, confidence: 1, describe: describeQuiet,
		falsePositives: []string{"An interface that is not in use."},
	},
	OnlyBroadcasts: {
		name: "only_broadcasts", title: "An interface gives no conversations", severity: medium, confidence: 0.8, describe: describeBroadcasts,
		falsePositives: []string{"A segment whose hosts are idle."},
	},
	OneDirection: {
		name: "one_direction", title: "A capture sees one direction alone", severity: medium, confidence: 0.9, describe: describeDirection,
		falsePositives: []string{"A segment that answers leave by another way: mirror both."},
	},
}
