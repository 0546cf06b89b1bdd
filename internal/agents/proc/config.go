package proc

import (
	"fmt"
	"path"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
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
}

// Monitoring says which processes are reported, and how.
type Monitoring struct {
	MonitoredProcesses  []string `yaml:"monitored_processes"`
	ExcludeList         []string `yaml:"exclude_list"`
	SampleRate          float64  `yaml:"sample_rate"`
	ScanIntervalSeconds float64  `yaml:"scan_interval_seconds"`
	UnchangedEvery      int      `yaml:"unchanged_every"`
	MetricsTop          int      `yaml:"metrics_top"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common: agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Monitoring: Monitoring{
			SampleRate: 1, ScanIntervalSeconds: 1, UnchangedEvery: 12, MetricsTop: 20,
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

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return []byte("# Configuration of the process agent (amoskys agent proc). Every value below is\n" +
		"# the default: a line may be left out. Unknown keys are errors.\n\n" +
		agent.IdentityTemplate(defaultID, defaultInterval) + `
monitoring:
  # Which processes to report, by name, pattern (python*) or process id. Empty
  # means all. A name is compared with the process's name and the file names of
  # its program and of its first argument.
  monitored_processes: []
  # Processes never to report; wins over the list above.
  exclude_list: []
  # Share of processes whose readings are sent, from 0 to 1. A process is always
  # in or always out. Starts and ends are sent for every process.
  sample_rate: 1.0
  # Seconds between looks for processes that started or ended.
  scan_interval_seconds: 1
  # A process that used no CPU and whose memory stayed the same is sent only
  # every so many readings.
  unchanged_every: 12
  # Processes with the most CPU and memory that have metrics of their own.
  metrics_top: 20
` + agent.CommonTemplate(defaultPort))
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Definition{
		Kind: "proc", ID: defaultID, Port: defaultPort, ConfigName: "process_monitor",
		Summary:  "processes of this host: starts, ends, CPU, memory, descriptors",
		Template: ConfigTemplate, Load: load,
	}
}

func load(file string, o config.DecodeOptions) (agent.Loaded, error) {
	cfg := DefaultConfig()
	if err := config.Load(file, &cfg, o); err != nil {
		return agent.Loaded{}, err
	}
	return agent.Loaded{Common: cfg.Common, Config: cfg, New: func(o agent.Options) (agent.Agent, error) {
		return New(cfg.Monitoring, o)
	}}, nil
}
