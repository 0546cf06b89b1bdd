package snmp

import (
	_ "embed"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "snmp_agent"
	defaultPort     = 50005
	defaultInterval = 60
)

// Config is what users write in snmp_agent_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	SNMP         SNMP      `yaml:"snmp"`
	Polling      Polling   `yaml:"polling"`
	Discovery    Discovery `yaml:"discovery"`
	Traps        Traps     `yaml:"traps"`
	Places       Places    `yaml:"places"`
	Metrics      Metrics   `yaml:"metrics"`
	Findings     Findings  `yaml:"findings"`
}

// SNMP says who is asked, and as whom.
type SNMP struct {
	Version       string          `yaml:"version"` // of community and v3_credentials: "1", "2c" or "3"
	Community     config.Secret   `yaml:"community"`
	Communities   []config.Secret `yaml:"communities"`
	ScanSubnets   []string        `yaml:"scan_subnets"`
	Targets       []string        `yaml:"targets"` // host or host:port
	Exclude       []string        `yaml:"exclude"`
	Port          int             `yaml:"port"`
	V3Credentials V3Credentials   `yaml:"v3_credentials"`
	Credentials   []V3Credentials `yaml:"credentials"` // more of SNMPv3
	Modules       string          `yaml:"modules"`     // folder of walk modules
	Facts         string          `yaml:"facts"`       // folder of facts about devices
	MIBs          string          `yaml:"mibs"`        // folder of MIB files
}

// V3Credentials are those of one user of SNMPv3 (RFC 3414). Without a name there are none.
type V3Credentials struct {
	Username        string        `yaml:"username"`
	AuthProtocol    string        `yaml:"auth_protocol"`
	AuthPassword    config.Secret `yaml:"auth_password"`
	PrivacyProtocol string        `yaml:"privacy_protocol"`
	PrivacyPassword config.Secret `yaml:"privacy_password"`
	ContextName     string        `yaml:"context_name"`
}

// Polling says how known devices are read.
type Polling struct {
	TimeoutSeconds   float64 `yaml:"timeout_seconds"`
	Retries          int     `yaml:"retries"`
	BatchSize        int     `yaml:"batch_size"` // devices at once
	MaxRepetitions   int     `yaml:"max_repetitions"`
	InventorySeconds float64 `yaml:"inventory_seconds"` // between two full readings
	SensorsSeconds   float64 `yaml:"sensors_seconds"`   // between two readings of sensors, disks and peers
	MaxDevices       int     `yaml:"max_devices"`
	MaxInterfaces    int     `yaml:"max_interfaces"` // of one device
	// EventIntervalSeconds is how often a reading of a device is kept as an event; 0 keeps all.
	EventIntervalSeconds float64 `yaml:"event_interval_seconds"`
}

// Discovery says how subnets are searched.
type Discovery struct {
	IntervalSeconds float64 `yaml:"interval_seconds"`
	RatePerSecond   float64 `yaml:"rate_per_second"`
	TimeoutSeconds  float64 `yaml:"timeout_seconds"`
	Retries         int     `yaml:"retries"`
	MaxAddresses    int     `yaml:"max_addresses"`
}

// Traps says what is listened to.
type Traps struct {
	Listen        string   `yaml:"listen"` // empty listens to nothing
	Allow         []string `yaml:"allow"`
	RatePerSecond int      `yaml:"rate_per_second"` // of one sender
}

// Places says whether and how often switches are asked where devices are plugged in.
type Places struct {
	Enabled         bool    `yaml:"enabled"`
	IntervalSeconds float64 `yaml:"interval_seconds"`
	Crowd           int     `yaml:"crowd"`
}

// Metrics bounds what is exported.
type Metrics struct {
	MaxDevices    int `yaml:"max_devices"`
	MaxInterfaces int `yaml:"max_interfaces"`
}

// Findings says whether weak settings of devices are told.
type Findings struct {
	Enabled bool `yaml:"enabled"`
}

// DefaultConfig returns the configuration that applies where the file is silent. It asks
// nobody anything.
func DefaultConfig() Config {
	return Config{
		Common: agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		SNMP: SNMP{
			Version: "2c", Community: "public", Communities: []config.Secret{}, ScanSubnets: []string{}, Targets: []string{}, Exclude: []string{},
			Port: 161, V3Credentials: V3Credentials{AuthProtocol: "SHA", PrivacyProtocol: "AES"}, Credentials: []V3Credentials{},
		},
		Polling: Polling{
			TimeoutSeconds: 5, Retries: 2, BatchSize: 10, MaxRepetitions: 25, InventorySeconds: 3600, SensorsSeconds: 300,
			MaxDevices: 2000, MaxInterfaces: 4096, EventIntervalSeconds: 300,
		},
		Discovery: Discovery{IntervalSeconds: 3600, RatePerSecond: 50, TimeoutSeconds: 2, Retries: 1, MaxAddresses: 65536},
		Traps:     Traps{Listen: ":1162", Allow: []string{}, RatePerSecond: 20},
		Places:    Places{Enabled: true, IntervalSeconds: 300, Crowd: 24},
		Metrics:   Metrics{MaxDevices: 1000, MaxInterfaces: 2000},
		Findings:  Findings{Enabled: true},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	c.SNMP.validate(v.Under("snmp"))
	c.Polling.validate(v.Under("polling"))
	in := v.Under("discovery")
	in.RangeFloat("interval_seconds", c.Discovery.IntervalSeconds, 1, 30*86400)
	in.RangeFloat("rate_per_second", c.Discovery.RatePerSecond, 0.1, 10_000)
	in.RangeFloat("timeout_seconds", c.Discovery.TimeoutSeconds, 0.05, 60)
	in.Range("retries", c.Discovery.Retries, 0, 5)
	in.Range("max_addresses", c.Discovery.MaxAddresses, 1, 1<<20)
	if _, err := addresses(c.SNMP.ScanSubnets, c.SNMP.Exclude, c.Discovery.MaxAddresses); err != nil {
		v.Add("snmp.scan_subnets", "%s", err)
	}
	c.Traps.validate(v.Under("traps"))
	places := v.Under("places")
	places.RangeFloat("interval_seconds", c.Places.IntervalSeconds, 1, 86400)
	places.Range("crowd", c.Places.Crowd, 1, 10_000)
	shown := v.Under("metrics")
	shown.Range("max_devices", c.Metrics.MaxDevices, 0, 100_000)
	shown.Range("max_interfaces", c.Metrics.MaxInterfaces, 0, 1_000_000)
}

func (p *Polling) validate(v *config.Check) {
	v.RangeFloat("timeout_seconds", p.TimeoutSeconds, 0.05, 300)
	v.Range("retries", p.Retries, 0, 10)
	v.Range("batch_size", p.BatchSize, 1, 1000)
	v.Range("max_repetitions", p.MaxRepetitions, 1, 1000)
	v.RangeFloat("inventory_seconds", p.InventorySeconds, 1, 7*86400)
	v.RangeFloat("sensors_seconds", p.SensorsSeconds, 1, 7*86400)
	v.Range("max_devices", p.MaxDevices, 1, 100_000)
	v.RangeFloat("event_interval_seconds", p.EventIntervalSeconds, 0, 86400)
	v.Range("max_interfaces", p.MaxInterfaces, 1, 65536)
}

func (t *Traps) validate(v *config.Check) {
	if t.Listen != "" {
		checkListen(v, "listen", t.Listen)
	}
	checkNetworks(v, "allow", t.Allow)
	v.Range("rate_per_second", t.RatePerSecond, 1, 100_000)
}

// sends says whether the configuration names anybody to be asked.
func (c *Config) sends() bool { return len(c.SNMP.ScanSubnets)+len(c.SNMP.Targets) > 0 }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

//go:embed snmp_agent_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "snmp", ID: defaultID, Port: defaultPort, ConfigName: "snmp_agent",
		Summary:  "switches, routers, printers and servers by SNMP: readings, traps, and where devices are plugged in",
		Template: ConfigTemplate, Tasks: tasks(), Observes: true, GCPercent: 50, HeapBytes: 32 << 20,
		// For a port of traps below 1024, such as 162.
		Uses: []string{"CAP_NET_BIND_SERVICE"},
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg, o) })
}
