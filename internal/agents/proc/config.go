package proc

import (
	_ "embed"
	"fmt"
	"path"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/mask"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "proc_agent"
	defaultPort     = 50002
	defaultInterval = 5
)

// Config is what users write in process_monitor_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Monitoring   Monitoring `yaml:"monitoring"`
	Mask         Mask       `yaml:"mask"`
}

// Mask adds to the rules by which secrets on command lines are told: mask.Rules.
type Mask struct {
	Names    []string `yaml:"names"`
	Patterns []string `yaml:"patterns"`
	Keep     []string `yaml:"keep"`
}

// Monitoring says which processes are reported, and how.
type Monitoring struct {
	MonitoredProcesses  []string `yaml:"monitored_processes"`
	ExcludeList         []string `yaml:"exclude_list"`
	SampleRate          float64  `yaml:"sample_rate"`
	ScanIntervalSeconds float64  `yaml:"scan_interval_seconds"`
	UnchangedEvery      int      `yaml:"unchanged_every"`
	MetricsTop          int      `yaml:"metrics_top"`
	// EventIntervalSeconds is how often a reading of a process is kept as an event; 0 keeps all.
	EventIntervalSeconds float64 `yaml:"event_interval_seconds"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common: agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Monitoring: Monitoring{
			SampleRate: 1, ScanIntervalSeconds: 1, UnchangedEvery: 12, MetricsTop: 20, EventIntervalSeconds: 300,
		},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	m := v.Under("monitoring")
	patterns(m, "monitored_processes", c.Monitoring.MonitoredProcesses)
	patterns(m, "exclude_list", c.Monitoring.ExcludeList)
	m.RangeFloat("sample_rate", c.Monitoring.SampleRate, 0, 1)
	m.RangeFloat("scan_interval_seconds", c.Monitoring.ScanIntervalSeconds, 0.05, 3600)
	m.Range("unchanged_every", c.Monitoring.UnchangedEvery, 1, 10000)
	m.Range("metrics_top", c.Monitoring.MetricsTop, 0, 1000)
	m.RangeFloat("event_interval_seconds", c.Monitoring.EventIntervalSeconds, 0, 86400)
	c.Mask.validate(v.Under("mask"))
}

func (m *Mask) validate(v *config.Check) {
	each := func(key string, list []string, check func(string) error) {
		v.Range("the length of "+key, len(list), 0, mask.MaxRules)
		for i, entry := range list {
			if err := check(entry); err != nil {
				v.Add(fmt.Sprintf("%s[%d]", key, i), "%s", err)
			}
		}
	}
	each("names", m.Names, mask.CheckName)
	each("keep", m.Keep, mask.CheckName)
	each("patterns", m.Patterns, func(p string) error { _, err := mask.Compile(p); return err })
}

func patterns(v *config.Check, key string, list []string) {
	for i, p := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		v.NotEmpty(at, p)
		if _, err := path.Match(p, ""); err != nil {
			v.Add(at, "%q is not a name, a process id or a pattern with * ? [abc]", p)
		}
	}
}

//go:embed process_monitor_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "proc", ID: defaultID, Port: defaultPort, ConfigName: "process_monitor",
		Summary:  "processes of this host: starts, ends, CPU, memory, descriptors",
		Template: ConfigTemplate, Tasks: tasks(),
		// To see the programs, folders and descriptors of other users' processes.
		Uses: []string{"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"},
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg, o) })
}
