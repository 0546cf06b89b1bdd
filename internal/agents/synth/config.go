package synth

import (
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

// ConfigTemplate returns the commented file that decodes to the defaults of both
// agents that read it: what differs between them is commented out.
func ConfigTemplate() []byte {
	return []byte(`# Configuration of the macOS agent (amoskys agent macos) and of the generator of
# synthetic events (amoskys agent synth), which share it. Every value below is the
# default: a line may be left out. Unknown keys are errors.

agent:
  # mac_telemetry for macos, synth_agent for synth.
  # id: mac_telemetry
  # Seconds between readings.
  interval_seconds: 1
  enabled: true
  # Seconds between the agent's reports about itself.
  health_interval_seconds: 30
  # How long a stop waits for the hub to take what is spooled. The rest stays on disk.
  stop_timeout_seconds: 5

# Generated events. They carry the label synthetic=true, addresses that are
# reserved for documentation and names below example.com, example.net and
# example.org, so that none is taken for real.
synthetic:
  # Generate instead of observing: what amoskys agent macos --synthetic sets. The
  # agent synth always does.
  # enabled: false
  # The same seed and start time give the same events, byte for byte.
  seed: 1
  # Time of the first event, such as 2026-01-31T08:00:00Z; empty means now.
  start_time: ""
  # Events per second on average over a day.
  rate: 5
  # End after so long; 0 means never.
  duration_seconds: 0
  hosts: 8
  # Incidents, labelled anomaly=NAME, and bursts of ordinary work.
  anomalies_per_hour: 12
  bursts_per_hour: 6
` + agent.CommonTemplate(defaultPort))
}

// Definition describes the generator to the runtime.
func Definition() agent.Definition {
	return agent.Definition{
		Kind: "synth", ID: synthID, Port: defaultPort, ConfigName: "mac_telemetry",
		Summary:  "synthetic events of a made-up fleet, the same for the same seed",
		Template: ConfigTemplate,
		Load: func(file string, o config.DecodeOptions) (agent.Loaded, error) {
			return load(synthID, file, o)
		},
	}
}

// MacDefinition describes the macOS agent, which for now only generates.
func MacDefinition() agent.Definition {
	return agent.Definition{
		Kind: "macos", ID: macID, Port: defaultPort, ConfigName: "mac_telemetry",
		Summary:  "telemetry of a Mac; with --synthetic, synthetic events on any system",
		Template: ConfigTemplate,
		Load: func(file string, o config.DecodeOptions) (agent.Loaded, error) {
			return load(macID, file, o)
		},
	}
}

func load(id, file string, o config.DecodeOptions) (agent.Loaded, error) {
	cfg := DefaultConfig(id)
	if err := config.Load(file, &cfg, o); err != nil {
		return agent.Loaded{}, err
	}
	return agent.Loaded{Common: cfg.Common, Config: cfg, New: func(o agent.Options) (agent.Agent, error) {
		if !cfg.Synthetic.Enabled && o.Kind != "synth" {
			return nil, errNotYet()
		}
		return New(cfg.Synthetic, o)
	}}, nil
}
