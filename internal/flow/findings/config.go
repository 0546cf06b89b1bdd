package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// Config is the section `findings` of the flow agent's configuration. Durations are in
// the unit that the key ends with.
type Config struct {
	// Enabled looks for findings at all.
	Enabled bool `yaml:"enabled"`
	// Disabled are kinds that are not told, such as "certificate_self_signed".
	Disabled []string `yaml:"disabled"`
	// TrustedScanners are networks whose hosts may scan: monitoring, inventories.
	TrustedScanners []string `yaml:"trusted_scanners"`
	// InternalNetworks are the networks that are ours: an upload leaves them, and what
	// comes from outside of them is of lower severity, as the Internet never rests.
	InternalNetworks []string `yaml:"internal_networks"`
	// MaxSources is how many sources, and how many pairs, each detector remembers.
	MaxSources int `yaml:"max_sources"`
	// MaxPerMinute is how many findings and updates are told in a minute.
	MaxPerMinute int `yaml:"max_per_minute"`
	// WindowSeconds is how long after its last sign a finding is over: the next is new.
	WindowSeconds int `yaml:"window_seconds"`
	// UpdateSeconds is after what time a finding that grew is told again, at first; it
	// doubles up to WindowSeconds.
	UpdateSeconds int `yaml:"update_seconds"`

	Scan         ScanConfig        `yaml:"scan"`
	SlowScan     ScanConfig        `yaml:"slow_scan"`
	Flood        FloodConfig       `yaml:"flood"`
	Certificates CertificateConfig `yaml:"certificates"`
	Beacon       BeaconConfig      `yaml:"beacon"`
	DNSTunnel    TunnelConfig      `yaml:"dns_tunnel"`
	DGA          DGAConfig         `yaml:"generated_domains"`
	Upload       UploadConfig      `yaml:"upload"`

	NewDestinations DestinationConfig `yaml:"new_destinations"`
	Traffic         TrafficConfig     `yaml:"traffic"`
}

// ScanConfig says what a scan is. StealthProbes, PingHosts and PingFailedShare are of
// `scan` alone.
type ScanConfig struct {
	WindowSeconds int `yaml:"window_seconds"`
	// Ports of one host, or Hosts on one port, that were tried in the window.
	Ports int `yaml:"ports"`
	Hosts int `yaml:"hosts"`
	// FailedShare is how much of what was tried led to no conversation, 0 to 1.
	FailedShare float64 `yaml:"failed_share"`
	// StealthProbes is how many segments without SYN and ACK make a scan.
	StealthProbes int `yaml:"stealth_probes"`
	// PingHosts is how many hosts were pinged, PingFailedShare how many of them did not
	// answer, 0 to 1.
	PingHosts       int     `yaml:"ping_hosts"`
	PingFailedShare float64 `yaml:"ping_failed_share"`
}

// FloodConfig says what a flood is: packets a second to one host, as a mean of the
// window, which lead to nothing.
type FloodConfig struct {
	WindowSeconds int `yaml:"window_seconds"`
	SYNPerSecond  int `yaml:"syn_per_second"`
	UDPPerSecond  int `yaml:"udp_per_second"`
	ICMPPerSecond int `yaml:"icmp_per_second"`
}

// CertificateConfig says what is wrong with a certificate.
type CertificateConfig struct {
	// GraceHours is how long after its end, or before its beginning, a certificate is
	// still good: clocks differ.
	GraceHours int `yaml:"grace_hours"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Enabled: true,
		InternalNetworks: []string{
			// RFC 1918, RFC 6598, RFC 3927, RFC 1122; RFC 4193, RFC 4291.
			"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
			"fc00::/7", "fe80::/10", "::1/128",
		},
		MaxSources: 2048, MaxPerMinute: 30, WindowSeconds: 3600, UpdateSeconds: 30,
		Scan:         ScanConfig{WindowSeconds: 60, Ports: 15, Hosts: 25, FailedShare: 0.7, StealthProbes: 3, PingHosts: 50, PingFailedShare: 0.3},
		SlowScan:     ScanConfig{WindowSeconds: 14400, Ports: 40, Hosts: 100, FailedShare: 0.8},
		Flood:        FloodConfig{WindowSeconds: 10, SYNPerSecond: 500, UDPPerSecond: 10000, ICMPPerSecond: 500},
		Certificates: CertificateConfig{GraceHours: 24},
		Beacon:       BeaconConfig{Connections: 12, MinIntervalSeconds: 10, MaxJitter: 0.2, MaxSizeSpread: 0.3},
		DNSTunnel:    TunnelConfig{WindowSeconds: 300, Names: 40, MeanLength: 24, EntropyBits: 3.8},
		DGA:          DGAConfig{WindowSeconds: 300, Domains: 15, MissingShare: 0.5, Randomness: 0.4},
		Upload:       UploadConfig{WindowSeconds: 3600, LearnWindows: 24, MinMegabytes: 200, Factor: 5, UnlearntMegabytes: 5000},

		NewDestinations: DestinationConfig{LearnHours: 168},
		Traffic:         TrafficConfig{WindowSeconds: 300, MinFrames: 20, MinConnections: 20},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	for i, name := range c.Disabled {
		if !slices.Contains(Names(), name) {
			v.Add(fmt.Sprintf("disabled[%d]", i), "%q is no kind of finding: there are %s", name, strings.Join(Names(), ", "))
		}
	}
	for i, p := range c.TrustedScanners {
		v.Prefix(fmt.Sprintf("trusted_scanners[%d]", i), p)
	}
	for i, p := range c.InternalNetworks {
		v.Prefix(fmt.Sprintf("internal_networks[%d]", i), p)
	}
	v.Range("max_sources", c.MaxSources, 16, 65536)
	v.Range("max_per_minute", c.MaxPerMinute, 1, 10000)
	v.Range("window_seconds", c.WindowSeconds, 60, 7*day)
	v.Range("update_seconds", c.UpdateSeconds, 1, day)
	c.Scan.validate(v.Under("scan"), true)
	c.SlowScan.validate(v.Under("slow_scan"), false)
	f := v.Under("flood")
	f.Range("window_seconds", c.Flood.WindowSeconds, 1, 600)
	f.Range("syn_per_second", c.Flood.SYNPerSecond, 1, 10_000_000)
	f.Range("udp_per_second", c.Flood.UDPPerSecond, 1, 100_000_000)
	f.Range("icmp_per_second", c.Flood.ICMPPerSecond, 1, 10_000_000)
	c.validateHabits(v)
	v.Under("certificates").Range("grace_hours", c.Certificates.GraceHours, 0, 24*365)
}

const day = 24 * 60 * 60 // seconds

func (c *ScanConfig) validate(v *config.Check, quick bool) {
	v.Range("window_seconds", c.WindowSeconds, 1, 7*day)
	v.Range("ports", c.Ports, 3, 1000)
	v.Range("hosts", c.Hosts, 3, 1000)
	v.RangeFloat("failed_share", c.FailedShare, 0, 1)
	if !quick {
		return
	}
	v.Range("stealth_probes", c.StealthProbes, 1, 1000)
	v.Range("ping_hosts", c.PingHosts, 3, 1000)
	v.RangeFloat("ping_failed_share", c.PingFailedShare, 0, 1)
}
