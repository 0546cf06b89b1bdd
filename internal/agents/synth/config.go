package synth

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
)

// Defaults that the definitions and the configuration share.
const (
	synthID         = "synth_agent"
	macID           = "mac_telemetry"
	defaultPort     = 50003
	defaultInterval = 1
)

// Config is what users write in mac_telemetry_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Synthetic    Synthetic `yaml:"synthetic"`
}

// Synthetic says what is generated.
type Synthetic struct {
	Enabled         bool    `yaml:"enabled"`
	Seed            uint64  `yaml:"seed"`
	StartTime       string  `yaml:"start_time"`
	Rate            float64 `yaml:"rate"`
	DurationSeconds float64 `yaml:"duration_seconds"`
	Hosts           int     `yaml:"hosts"`
	AnomaliesHourly float64 `yaml:"anomalies_per_hour"`
	BurstsHourly    float64 `yaml:"bursts_per_hour"`
}

// DefaultConfig returns the defaults of the agent with this id; only synth
// generates unless told to.
func DefaultConfig(id string) Config {
	return Config{
		Common: agent.DefaultCommon(id, defaultPort, defaultInterval),
		Synthetic: Synthetic{
			Enabled: id == synthID, Seed: 1, Rate: 5, Hosts: 8, AnomaliesHourly: 12, BurstsHourly: 6,
		},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	s := v.Under("synthetic")
	if _, err := c.Synthetic.start(time.Time{}); err != nil {
		s.Add("start_time", "%q is not a time such as 2026-01-31T08:00:00Z", c.Synthetic.StartTime)
	}
	s.RangeFloat("rate", c.Synthetic.Rate, 0.001, 100_000)
	s.RangeFloat("duration_seconds", c.Synthetic.DurationSeconds, 0, 365*24*3600)
	s.Range("hosts", c.Synthetic.Hosts, 1, 200)
	s.RangeFloat("anomalies_per_hour", c.Synthetic.AnomaliesHourly, 0, 3600)
	s.RangeFloat("bursts_per_hour", c.Synthetic.BurstsHourly, 0, 3600)
}

// start is start_time, or now where it is empty.
func (s *Synthetic) start(now time.Time) (time.Time, error) {
	if s.StartTime == "" {
		return now, nil
	}
	at, err := time.Parse(time.RFC3339, s.StartTime)
	if err != nil {
		return time.Time{}, fmt.Errorf("start_time: %w", err)
	}
	return at, nil
}

//go:embed mac_telemetry_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to the defaults of both
// agents that read it: what differs between them is commented out.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the generator to the runtime.
func Definition() agent.Definition {
	return define(agent.Definition{
		Kind: "synth", ID: synthID,
		Summary: "synthetic events of a made-up fleet, the same for the same seed",
	})
}

// MacDefinition describes the macOS agent, which for now only generates.
func MacDefinition() agent.Definition {
	return define(agent.Definition{
		Kind: "macos", ID: macID,
		Summary: "telemetry of a Mac; with --synthetic, synthetic events on any system",
	})
}

// define completes either definition: both read one file.
func define(d agent.Definition) agent.Definition {
	d.Observes = true // the events are of a made-up fleet
	d.Port, d.ConfigName, d.Template, d.Tasks = defaultPort, "mac_telemetry", ConfigTemplate, tasks()
	return agent.Define(d, func() Config { return DefaultConfig(d.ID) }, func(cfg Config, o agent.Options) (agent.Agent, error) {
		if !cfg.Synthetic.Enabled && o.Kind != "synth" {
			return nil, errNotYet()
		}
		return New(cfg.Synthetic, o)
	})
}
