package scanner

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/exposure"
	"github.com/amoskys/amoskys/internal/scan/hear"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "device_scanner"
	defaultPort     = 50006
	defaultInterval = 300
)

// Config is what users write in device_scanner_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Discovery    Discovery   `yaml:"discovery"`
	Hear         Hear        `yaml:"hear"`
	Inventory    Inventory   `yaml:"inventory"`
	Findings     hear.Config `yaml:"findings"`
	Exposure     Exposure    `yaml:"exposure"`
}

// Exposure says what is told of services that should not be as they are.
type Exposure struct {
	Enabled  bool     `yaml:"enabled"`
	Disabled []string `yaml:"disabled"` // kinds that are not told
}

// Discovery says what is sent, and to whom.
type Discovery struct {
	Subnets   []string `yaml:"subnets"`
	Exclude   []string `yaml:"exclude"`
	Methods   Methods  `yaml:"methods"`
	PortRange string   `yaml:"port_range"`
	UDPPorts  string   `yaml:"udp_ports"`
	// TimeoutSeconds is the longest that a port is asked what it is.
	TimeoutSeconds    float64 `yaml:"timeout_seconds"`
	RatePerSecond     int     `yaml:"rate_per_second"` // packets; 0 leaves it to the network
	HostRatePerSecond int     `yaml:"host_rate_per_second"`
	Hours             string  `yaml:"hours"`
	AllowPublic       bool    `yaml:"allow_public"`
	MaxAddresses      int     `yaml:"max_addresses"`
	Names             bool    `yaml:"names"`
	IdentifyHours     float64 `yaml:"identify_hours"`
}

// Methods are the ways of looking.
type Methods struct {
	ARPSweep       bool `yaml:"arp_sweep"`
	PortScan       bool `yaml:"port_scan"`
	Fingerprinting bool `yaml:"fingerprinting"`
	Traceroute     bool `yaml:"traceroute"`
}

// Hear says where is listened, which sends nothing.
type Hear struct {
	Interfaces []string `yaml:"interfaces"`
}

// Inventory bounds what is kept.
type Inventory struct {
	MaxDevices      int     `yaml:"max_devices"`
	GoneAfterHours  float64 `yaml:"gone_after_hours"`
	ForgetAfterDays float64 `yaml:"forget_after_days"`
	AddressesPerMAC int     `yaml:"addresses_per_mac"`
	MaxPerMinute    int     `yaml:"max_per_minute"`
	MaxMetrics      int     `yaml:"max_metrics"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common: agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Discovery: Discovery{
			Methods:   Methods{ARPSweep: true, PortScan: true, Fingerprinting: true, Traceroute: true},
			PortRange: "1-1000", TimeoutSeconds: 10, MaxAddresses: 65_536, Names: true, IdentifyHours: 24,
		},
		Hear:      Hear{Interfaces: []string{capture.Auto}},
		Inventory: Inventory{MaxDevices: 20_000, GoneAfterHours: 24, ForgetAfterDays: 90, AddressesPerMAC: 5, MaxPerMinute: 600, MaxMetrics: 1000},
		Findings:  hear.DefaultConfig(),
		Exposure:  Exposure{Enabled: true},
	}
}

// WorksWithoutPrivileges implements agent.Undemanding: connections need none, so that
// where there is something to scan the agent runs although it may not listen.
func (c *Config) WorksWithoutPrivileges() bool { return len(c.Discovery.Subnets) > 0 }

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	d := v.Under("discovery")
	c.Discovery.validate(d)
	d.RangeFloat("timeout_seconds", c.Discovery.TimeoutSeconds, 0.1, 120)
	d.Range("rate_per_second", c.Discovery.RatePerSecond, 0, 1_000_000)
	d.Range("host_rate_per_second", c.Discovery.HostRatePerSecond, 0, 1_000_000)
	d.Range("max_addresses", c.Discovery.MaxAddresses, 1, 1<<24)
	d.RangeFloat("identify_hours", c.Discovery.IdentifyHours, 0, 24*365)
	for i, name := range c.Hear.Interfaces {
		v.Under("hear").NotEmpty(fmt.Sprintf("interfaces[%d]", i), name)
	}
	in := v.Under("inventory")
	in.Range("max_devices", c.Inventory.MaxDevices, 16, 1_000_000)
	in.RangeFloat("gone_after_hours", c.Inventory.GoneAfterHours, 0.01, 24*365)
	in.RangeFloat("forget_after_days", c.Inventory.ForgetAfterDays, 0.1, 3650)
	in.Range("addresses_per_mac", c.Inventory.AddressesPerMAC, 1, 10_000)
	in.Range("max_per_minute", c.Inventory.MaxPerMinute, 1, 1_000_000)
	in.Range("max_metrics", c.Inventory.MaxMetrics, 0, 100_000)
	c.Findings.Validate(v.Under("findings"))
	for i, name := range c.Exposure.Disabled {
		if !slices.Contains(exposure.Kinds(), exposure.Kind(name)) {
			v.Add(fmt.Sprintf("exposure.disabled[%d]", i), "%q is no kind of exposure: there are %s", name, kindList())
		}
	}
}

// validate reports each key that cannot be read by its own name, and once all can, what
// is wrong with the whole.
func (d *Discovery) validate(v *config.Check) {
	plan, faults := d.parse()
	for _, f := range faults {
		v.Add(f.key, "%s", f.err)
	}
	if len(faults) > 0 || len(d.Subnets) == 0 {
		return
	}
	err := plan.Validate()
	if _, public := errors.AsType[*scan.PublicError](err); public {
		v.Add("subnets", "%s: discovery.allow_public: true scans them, if you may", err)
	} else if err != nil {
		v.Add("subnets", "%s", err)
	}
}

// kindList names the kinds of exposure for people.
func kindList() string {
	kinds := exposure.Kinds()
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// plan is that of a scan of the subnets.
func (d *Discovery) plan() (scan.Plan, error) {
	p, faults := d.parse()
	errs := make([]error, 0, len(faults))
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("discovery.%s: %w", f.key, f.err))
	}
	return p, errors.Join(errs...)
}

// keyFault is a key of discovery that cannot be read.
type keyFault struct {
	key string
	err error
}

// parse reads what the keys say.
func (d *Discovery) parse() (scan.Plan, []keyFault) {
	p := scan.Plan{
		Names: d.Names, Routes: d.Methods.Traceroute, Rate: d.RatePerSecond, HostRate: d.HostRatePerSecond, AllowPublic: d.AllowPublic, NoPing: !d.Methods.ARPSweep,
		MostAddresses: uint64(max(0, d.MaxAddresses)), Timeout: min(d.timeout(), time.Second),
	}
	var errs [5]error
	p.Targets, errs[0] = scan.ParseTargets(d.Subnets...)
	p.Exclude, errs[1] = scan.ParseTargets(d.Exclude...)
	p.Ports, errs[2] = scan.ParsePorts(d.PortRange)
	p.UDP, errs[3] = scan.ParsePorts(d.UDPPorts)
	p.Hours, errs[4] = scan.ParseHours(d.Hours)
	if !d.Methods.PortScan {
		p.Ports, p.UDP = nil, nil
	}
	var faults []keyFault
	for i, key := range []string{"subnets", "exclude", "port_range", "udp_ports", "hours"} {
		if errs[i] != nil {
			faults = append(faults, keyFault{key, errs[i]})
		}
	}
	return p, faults
}

// scans reports whether the subnets are scanned at all.
func (d *Discovery) scans() bool {
	return len(d.Subnets) > 0 && (d.Methods.ARPSweep || d.Methods.PortScan)
}

func (d *Discovery) timeout() time.Duration {
	return time.Duration(d.TimeoutSeconds * float64(time.Second))
}

//go:embed device_scanner_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "scanner", ID: defaultID, Port: defaultPort, ConfigName: "device_scanner",
		Summary:    "devices of this network: who they are, what they run, what changes",
		Template:   ConfigTemplate,
		Observes:   true,
		Tasks:      tasks(),
		Privileges: []string{"CAP_NET_RAW"},
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg, o) })
}
