package node

import (
	_ "embed"
	"slices"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
)

// Config is what users write in node_config.yaml.
type Config struct {
	Node        Section              `yaml:"node"`
	Hub         dial.HubConfig       `yaml:"hub"`
	Supervision Supervision          `yaml:"supervision"`
	Logging     config.LoggingConfig `yaml:"logging"`
}

// Section names the node and its agents.
type Section struct {
	ID     string   `yaml:"id"` // empty: the name in the certificate
	Agents []string `yaml:"agents"`
	// HTTP says where /healthz is answered. It lies here, because AMOSKYS_HTTP_PORT of
	// the environment is for an agent that the node starts with it.
	HTTP config.HTTPConfig `yaml:"http"`
}

// Supervision says how agents are watched and kept running.
type Supervision struct {
	IntervalSeconds    float64 `yaml:"interval_seconds"`
	StopTimeoutSeconds float64 `yaml:"stop_timeout_seconds"`
	BackoffMinSeconds  float64 `yaml:"backoff_min_seconds"`
	BackoffMaxSeconds  float64 `yaml:"backoff_max_seconds"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Node:        Section{Agents: []string{"proc", "eventbus", "flow", "scanner", "snmp"}, HTTP: config.HTTPConfig{Host: "127.0.0.1"}},
		Hub:         dial.DefaultHub("node"),
		Supervision: Supervision{IntervalSeconds: 2, StopTimeoutSeconds: 10, BackoffMinSeconds: 0.5, BackoffMaxSeconds: 30},
		Logging:     config.DefaultLogging(),
	}
}

//go:embed node_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return config.Template(configTemplate, dial.HubSection("node"), config.LoggingSection())
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Node.ID != "" {
		v.Name("node.id", c.Node.ID)
	}
	for i, kind := range c.Node.Agents {
		key := "node.agents[" + strconv.Itoa(i) + "]"
		v.Name(key, kind)
		if slices.Index(c.Node.Agents, kind) < i {
			v.Add(key, "%q is given twice", kind)
		}
	}
	c.Hub.Validate(v.Under("hub"))
	c.Node.HTTP.Validate(v.Under("node.http"))
	s := c.Supervision
	v.RangeFloat("supervision.interval_seconds", s.IntervalSeconds, 0.1, 3600)
	v.RangeFloat("supervision.stop_timeout_seconds", s.StopTimeoutSeconds, 0.1, 600)
	v.RangeFloat("supervision.backoff_min_seconds", s.BackoffMinSeconds, 0.01, 3600)
	v.RangeFloat("supervision.backoff_max_seconds", s.BackoffMaxSeconds, 0.01, 3600)
	if s.BackoffMaxSeconds < s.BackoffMinSeconds {
		v.Add("supervision.backoff_max_seconds", "must not be less than backoff_min_seconds")
	}
	c.Logging.Validate(v.Under("logging"))
}

// Options are what the configuration says of a node; the rest is for the caller
// to fill in. name is the node's id, which its certificate gives: node.id may only
// repeat it.
func (c *Config) Options(name string) Options {
	o := Options{ID: name}
	s := c.Supervision
	o.Interval, o.StopTimeout = seconds(s.IntervalSeconds), seconds(s.StopTimeoutSeconds)
	o.BackoffMin, o.BackoffMax = seconds(s.BackoffMinSeconds), seconds(s.BackoffMaxSeconds)
	return o
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
